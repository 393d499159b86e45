"""Make the audio of the everyday set, the same each time (shell: espeak-ng, files)."""

import re
from functools import cache
from pathlib import Path

import numpy as np
from whisper_live_client.media import open_file

from scripts.tools.corpus import Corpus, Utterance
from scripts.tools.synthesis import Pcm, pause, speak
from shared.clips import load_clips
from shared.messages import SAMPLE_RATE

from .everyday_rows import JFK, Recorded, Row, Spoken

_PAUSE = re.compile(r"\s*\[([\d.]+)\]\s*")
_JFK_TEXT = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
)
_JFK_FIRST_WORDS = (0.58, 0.96, 1.22, 1.62, 2.3)
"""Where the words before the first pause end, in seconds; pauses are put in among these only."""
_LEAD_S, _GAP_S = 0.3, 0.6
_BEFORE_NEXT_S = 0.02


def make_corpus(row: Row) -> Corpus:
    """Return a row's sessions, with their audio; ids are unique over the set.

    Raises:
        NoSynthesizerError: a sentence is to be said, and espeak-ng is missing.
    """
    lists = []
    for at, session in enumerate(row.sessions, 1):
        made = []
        for part_at, part in enumerate(session, 1):
            text, pcm = _said(part) if isinstance(part, Spoken) else _recorded(part)
            audio = row.effect(pcm).astype("<i2").tobytes()
            made.append(Utterance(f"{row.name}, {at}.{part_at}", text, (), audio))
        lists.append(tuple(made))
    return Corpus(row.name, tuple(lists), lead_s=_LEAD_S, gap_s=_GAP_S)


def without_pauses(text: str) -> str:
    return _PAUSE.sub(" ", text)


def _said(part: Spoken) -> tuple[str, Pcm]:
    """Say the text piece by piece, with its pauses."""
    pieces = _PAUSE.split(part.text)
    audio = []
    for text, seconds in zip(pieces[::2], [*pieces[1::2], None], strict=True):
        if text:
            audio.append(_speak(text, part.voice, part.words_per_minute))
        if seconds is not None:
            audio.append(pause(float(seconds)))
    return without_pauses(part.text), np.concatenate(audio)


@cache
def _speak(text: str, voice: str, words_per_minute: int) -> Pcm:
    return speak(text, voice=voice, words_per_minute=words_per_minute)


def _recorded(part: Recorded) -> tuple[str, Pcm]:
    """Cut a recording after the words that a pause is to follow."""
    text, ends_s, pcm = _recordings()[part.id]
    audio, start = [], 0
    for words, seconds in part.pauses:
        end = round((ends_s[words - 1] + _BEFORE_NEXT_S) * SAMPLE_RATE) if words else 0
        audio += [pcm[start:end], pause(seconds)]
        start = end
    return text, np.concatenate([*audio, pcm[start:]])


@cache
def _recordings() -> dict[str, tuple[str, tuple[float, ...], Pcm]]:
    """Return each recording's text, the ends of its words in seconds, and its samples."""
    with open_file(str(Path(__file__).with_name("jfk.flac"))) as media:
        jfk = np.frombuffer(b"".join(media.pieces()), "<i2")
    found: dict[str, tuple[str, tuple[float, ...], Pcm]] = {JFK: (_JFK_TEXT, _JFK_FIRST_WORDS, jfk)}
    for clip in load_clips():
        pcm = np.frombuffer(clip.pcm(), "<i2")
        found[clip.id] = (clip.text, tuple(end_s for _, end_s in clip.words), pcm)
    return found

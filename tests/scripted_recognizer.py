"""A Recognizer without a model: the words are written in the audio itself.

`say` turns words into samples: a word is a square wave whose amplitude is its number in `VOCABULARY`. The recognizer
reads them back from whatever window it is given, so it needs no state, knows any session in any process, and behaves
like a model where that matters: it finds only part of a word cut by the window's end, goes on after the committed
tokens, counts accepted draft tokens, and splits words into tokens (a straddling word has its new part in ``fresh``).

A worker process gets it through `load_recognizer`, which has the signature of the real one. The words `POISON`
(transcription raises) and `STUCK` (the step takes `STUCK_S`) play the faults.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpu_worker.recognizer import (
    VAD_FRAME,
    ModelInfo,
    Pcm,
    TimedWord,
    VadRequest,
    VadResult,
    WindowRequest,
    WindowResult,
)

POISON = "poison"
STUCK = "stuck"
STUCK_S = 60.0
"""How long a step with `STUCK` in a window takes."""

_PLAIN = (
    "one two three four five six seven eight nine ten apple river stone cloud green window paper silver garden "
    "music north candle orange bottle summer winter bridge forest copper island letter market number ocean pencil "
    "rabbit shadow ticket valley wagon yellow zebra anchor button castle dinner engine feather guitar hammer"
)
VOCABULARY: tuple[tuple[str, ...], ...] = (
    *((" " + word,) for word in _PLAIN.split()),
    (" wood", "cutters"),
    (" rain", "bow", "s"),
    (" sentence", "."),
    (" over", "."),
    (" well", ","),
    (" caf", "\ufffd", "é"),
    (" " + POISON,),
    (" " + STUCK,),
)
"""Each word as its tokens. "café" is spelt by a cut character, as byte tokens would."""

_NUMBERS = {"".join(pieces).replace("\ufffd", "").strip(): number for number, pieces in enumerate(VOCABULARY)}
_STEP = 32_000 // len(VOCABULARY)
_MOST_PIECES = 8
_SPEECH = 0.9
_SILENCE = 0.02


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word and where it is said, in samples."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio in which words are written, and what it says."""

    pcm: Pcm
    words: tuple[Spoken, ...]

    @property
    def text(self) -> str:
        """Return the words as a recognizer spells them, joined."""
        return "".join(" " + word.text for word in self.words)


def say(script: Sequence[str | float], *, word_s: float = 0.35, between_s: float = 0.05) -> Speech:
    """Return audio that says the words of ``script``; numbers in it are seconds of silence."""
    parts: list[Pcm] = []
    words: list[Spoken] = []
    position = 0
    for item in script:
        if isinstance(item, str):
            length = round(word_s * 16_000)
            amplitude = (_NUMBERS[item] + 1) * _STEP
            wave = np.where(np.arange(length) // 8 % 2, amplitude, -amplitude)
            words.append(Spoken(item, position, position + length))
            parts.append(wave.astype(np.int16))
            position += length
        pause = round((between_s if isinstance(item, str) else item) * 16_000)
        parts.append(np.zeros(pause, np.int16))
        position += pause
    return Speech(np.concatenate(parts) if parts else np.zeros(0, np.int16), tuple(words))


@dataclass(frozen=True, slots=True)
class _Found:
    """A word, or the part of one, found in a window."""

    number: int
    start: int
    end: int
    share: float

    @property
    def tokens(self) -> list[int]:
        """Return the tokens found: all of the word's once two thirds of it are there."""
        pieces = len(VOCABULARY[self.number])
        count = pieces if self.share >= 0.67 else int(pieces * self.share)
        return [self.number * _MOST_PIECES + index for index in range(count)]


def _find_words(pcm: Pcm, start: int, word_samples: int) -> list[_Found]:
    level = np.abs(pcm.astype(np.int32))
    edges = np.flatnonzero(np.diff(level, prepend=0, append=0))
    found = []
    for first, last in itertools.pairwise(edges):
        if level[first]:
            number = int(level[first]) // _STEP - 1
            found.append(_Found(number, start + int(first), start + int(last), (last - first) / word_samples))
    # What is left of a word at a window's start is no word if its larger part is missing.
    if found and found[0].start == start and found[0].share < 0.5:
        found.pop(0)
    return found


def _spell(token: int) -> str:
    number, index = divmod(token, _MOST_PIECES)
    return VOCABULARY[number][index]


class ScriptedRecognizer:
    """Reads the words that `say` wrote.

    Args:
        word_s: the length `say` was given.
        logprob: of every token of a whole word; the last token of a word that is cut gets -3.
        step_s: how long each step takes.
    """

    def __init__(self, *, word_s: float = 0.35, logprob: float = -0.1, step_s: float = 0.0) -> None:
        self.loaded = False
        self.opened: set[int] = set()
        self.decodes = 0
        self.windows: list[int] = []
        self._word_samples = round(word_s * 16_000)
        self._logprob = logprob
        self._step_s = step_s

    @property
    def info(self) -> ModelInfo:
        """Return a model that takes two languages."""
        return ModelInfo("scripted", ("en", "fr"), translates=True, device="cpu", device_name="scripted")

    def load(self) -> None:
        """Record that the weights would be on the device."""
        self.loaded = True

    def unload(self) -> None:
        """Record that they would not be."""
        self.loaded = False

    def open(self, key: int) -> None:
        self.opened.add(key)

    def close(self, key: int) -> None:
        self.opened.discard(key)

    def detect_speech(self, requests: Sequence[VadRequest]) -> list[VadResult | Exception]:
        """Take every frame that is not digital silence for speech."""
        return [self._judge(request) for request in requests]

    def _judge(self, request: VadRequest) -> VadResult:
        frames = np.abs(request.pcm.astype(np.int32)).reshape(-1, VAD_FRAME)
        return VadResult(tuple(_SPEECH if frame.any() else _SILENCE for frame in frames))

    def transcribe(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Read the words in each window."""
        time.sleep(self._step_s)
        return [self._decode(request) for request in requests]

    def _decode(self, request: WindowRequest) -> WindowResult | Exception:
        self.decodes += 1
        pcm = request.pcm[request.context :]
        self.windows.append(len(pcm))
        words = _find_words(pcm, request.start, self._word_samples)
        said = {"".join(VOCABULARY[word.number]).strip() for word in words}
        if POISON in said:
            return RuntimeError("the scripted recognizer was given poison")
        if STUCK in said:
            time.sleep(STUCK_S)
        whole = [(token, word) for word in words for token in word.tokens]
        known = _position_after(list(request.committed), [token for token, _ in whole])
        fresh = whole[known:]
        tokens = tuple(token for token, _ in fresh)
        end = (request.start + len(pcm)) // 320 * 320
        times = [(request.start, request.start)] * max(0, len(request.committed) - known)
        times += [(word.start, word.end) for _, word in whole]
        return WindowResult(
            tokens=tokens,
            logprobs=tuple(self._logprob if word.share >= 0.67 else -3.0 for _, word in fresh),
            words=_words([*request.committed, *tokens], len(request.committed), times),
            end=end,
            no_speech=0.0 if words else 0.9,
            looped=False,
            language=request.language or "en",
            accepted=_common(request.draft, tokens),
        )


def _position_after(committed: list[int], found: list[int]) -> int:
    """Return how many of the found tokens the committed ones account for.

    Both begin where the window does, but a word that the window's start cuts may be missing in either.
    """
    for misses in range(len(committed)):
        for dropped in range(misses + 1):
            wanted, skipped = committed[dropped:], misses - dropped
            if found[skipped : skipped + len(wanted)] == wanted:
                return skipped + len(wanted)
    return 0


def _words(tokens: list[int], committed: int, times: list[tuple[int, int]]) -> tuple[TimedWord, ...]:
    starts = [index for index, token in enumerate(tokens) if index == 0 or _spell(token).startswith(" ")]
    words = []
    for first, last in zip(starts, [*starts[1:], len(tokens)], strict=False):
        text, fresh = ("".join(map(_spell, tokens[begin:last])) for begin in (first, min(max(first, committed), last)))
        whole = "é" in text
        words.append(
            TimedWord(
                text=text.replace("\ufffd", "") if whole else text,
                fresh=fresh.replace("\ufffd", "") if whole else fresh,
                first=first,
                last=last,
                start=times[first][0],
                end=times[last - 1][1],
            )
        )
    return tuple(words)


def _common(draft: Sequence[int], tokens: Sequence[int]) -> int:
    count = 0
    for guess, token in zip(draft, tokens, strict=False):
        if guess != token:
            break
        count += 1
    return count


def load_recognizer(model: str, *, cache_dir: Path, device: str, threads: int) -> ScriptedRecognizer:
    """Return the scripted recognizer in place of the real one; the arguments are taken and not used."""
    return ScriptedRecognizer()

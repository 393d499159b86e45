"""Render a transcript as text, SRT, WebVTT or JSON (core)."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .segment import Segment
from .words import join_texts

# What the usual subtitling guidelines ask for: two lines of 42 columns, seven seconds at most.
_LINE_COLUMNS = 42
_CUE_COLUMNS = 2 * _LINE_COLUMNS
_CUE_S = 7.0
_SHORTEST_CUE_MS = 1
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001 - full-width marks end sentences too


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle, times in milliseconds."""

    start_ms: int
    end_ms: int
    text: str


def render_text(segments: Iterable[Segment]) -> str:
    """Render one line a segment."""
    lines = [clean(segment.committed) for segment in segments]
    return "".join(f"{line}\n" for line in lines if line)


def render_srt(segments: Iterable[Segment]) -> str:
    """Render SubRip: numbered cues, a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        # An arrow inside the text would be read as a time line by lenient parsers.
        f"{_fold(cue.text.replace('-->', '->'))}\n\n"
        for number, cue in enumerate(cues_of(segments), 1)
    )


def render_vtt(segments: Iterable[Segment]) -> str:
    """Render WebVTT; its mark-up characters are escaped."""
    escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    cues = "".join(
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_fold(cue.text).translate(escapes)}\n\n"
        for cue in cues_of(segments)
    )
    return f"WEBVTT\n\n{cues}"


def render_json(segments: Iterable[Segment], about: Mapping[str, object]) -> str:
    """Render the segments with their words, and whatever else there is to say ``about`` the session."""
    spoken = [segment for segment in segments if segment.committed.strip()]
    body = {
        "text": join_texts([clean(segment.committed) for segment in spoken]),
        "segments": [
            {
                "id": segment.id,
                "start": segment.start_s,
                "end": segment.end_s,
                "text": clean(segment.committed),
                "language": segment.language,
                "final": segment.closed,
                "words": [
                    {
                        "word": word.word.strip(),
                        "start": word.start_s,
                        "end": word.end_s,
                        "probability": word.probability,
                    }
                    for word in segment.spoken
                ],
            }
            for segment in spoken
        ],
        **about,
    }
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def clean(text: str) -> str:
    """Make text one line without control characters: it comes from a model and goes to terminals and files."""
    plain = "".join(character if unicodedata.category(character) != "Cc" else " " for character in text)
    return " ".join(plain.split())


def cues_of(segments: Iterable[Segment]) -> list[Cue]:
    """Cut segments into cues that are short enough to read, in order and never overlapping."""
    cues: list[Cue] = []
    for segment in segments:
        for start_s, end_s, text in _pieces(segment):
            earliest_ms = cues[-1].end_ms if cues else 0
            start_ms = max(round(start_s * 1000), earliest_ms)
            end_ms = max(round(end_s * 1000), start_ms + _SHORTEST_CUE_MS)
            cues.append(Cue(start_ms, end_ms, text))
    return cues


def _pieces(segment: Segment) -> list[tuple[float, float, str]]:
    """Cut one segment at its words; one whose words are not in its text stays whole: no time is made up."""
    whole = clean(segment.committed)
    if not whole:
        return []
    located = _locate(segment, whole)
    if not located:
        return [(segment.start_s, segment.end_s, whole)]
    pieces = []
    first = 0
    for index in range(1, len(located) + 1):
        if index == len(located) or _breaks(located, first, index, whole):
            begin, end = located[first][0], len(whole) if index == len(located) else located[index][0]
            pieces.append((located[first][1], located[index - 1][2], whole[begin:end].strip()))
            first = index
    return pieces


def _breaks(located: list[tuple[int, float, float]], first: int, index: int, whole: str) -> bool:
    """Decide whether a new cue begins with the word at ``index``, one having begun at ``first``."""
    begin, start_s, _ = located[first]
    here = located[index][0]
    after = located[index + 1][0] if index + 1 < len(located) else len(whole)
    if _columns(whole[begin:after].strip()) > _CUE_COLUMNS or located[index][2] - start_s > _CUE_S:
        return True
    so_far = whole[begin:here].strip()
    return so_far.endswith(_SENTENCE_ENDS) and _columns(so_far) > _LINE_COLUMNS


def _locate(segment: Segment, whole: str) -> list[tuple[int, float, float]]:
    """Find where each word of a final stands in its text: (index in the text, start, end); empty if one is missing."""
    located: list[tuple[int, float, float]] = []
    position = 0
    for word in segment.spoken:
        text = clean(word.word)
        if not text:
            continue
        found = whole.find(text, position)
        if found < 0:
            return []
        # What stands before the first word, or between two words, belongs to the word after it.
        located.append((position if located else 0, word.start_s, word.end_s))
        position = found + len(text)
    return located


def _fold(text: str) -> str:
    """Break a cue into two lines of about the same width where one would be too wide."""
    if _columns(text) <= _LINE_COLUMNS:
        return text
    breaks = [index for index, character in enumerate(text) if character == " "]
    if not breaks:
        return text
    best = min(breaks, key=lambda index: max(_columns(text[:index]), _columns(text[index + 1 :])))
    return f"{text[:best]}\n{text[best + 1 :]}"


def _columns(text: str) -> int:
    """Count the columns a text takes: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _clock(time_ms: int, separator: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{milliseconds:03d}"

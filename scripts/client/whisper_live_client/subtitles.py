"""Render a transcript as text, SRT, WebVTT or JSON."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from .segment import Segment, join_texts, split_words, word_spans

# What the usual subtitling guidelines ask for: two lines of 42 columns, seven seconds at most.
_LINE_COLUMNS = 42
_CUE_COLUMNS = 2 * _LINE_COLUMNS
_CUE_MS = 7000
_SHORTEST_CUE_MS = 1
_COMMA_COLUMNS = 24
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001 - full-width marks end sentences too
_PAUSES = (*_SENTENCE_ENDS, ",", ";", ":", "，", "、")  # noqa: RUF001 - the same


@dataclass(frozen=True, slots=True)
class Cue:
    start_ms: int
    end_ms: int
    text: str


def render_text(segments: Iterable[Segment]) -> str:
    lines = [clean(segment.committed) for segment in segments]
    return "".join(f"{line}\n" for line in lines if line)


def render_srt(segments: Iterable[Segment]) -> str:
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
                        "word": clean(word.text),
                        "start": word.start_s,
                        "end": word.end_s,
                        "probability": word.probability,
                    }
                    for word in segment.words[: len(split_words(segment.committed))]
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
    for cue in chain.from_iterable(map(_cut, segments)):
        start_ms = max(cue.start_ms, cues[-1].end_ms if cues else 0)
        cues.append(Cue(start_ms, max(cue.end_ms, start_ms + _SHORTEST_CUE_MS), cue.text))
    return cues


def _cut(segment: Segment) -> list[Cue]:
    """Cut one segment at its words; one whose words have no times stays whole: no time is made up."""
    whole = clean(segment.committed)
    if not whole:
        return []
    timed = _timed_words(segment, whole)
    if not timed:
        return [_cue(segment.start_s, segment.end_s, whole)]
    cues = []
    first = 0
    for index in range(1, len(timed) + 1):
        so_far = _joined(timed[first:index]).text
        if index == len(timed) or (so_far.endswith(_SENTENCE_ENDS) and _columns(so_far) > _LINE_COLUMNS):
            cues += _halve(timed[first:index])
            first = index
    return cues


def _cue(start_s: float, end_s: float, text: str) -> Cue:
    return Cue(round(start_s * 1000), round(end_s * 1000), text)


def _timed_words(segment: Segment, whole: str) -> list[Cue]:
    """Return the words with what stands between them; one without a time of its own joins the word before it."""
    spans = word_spans(whole)
    words = segment.words[: len(spans)]
    if len(words) < len(spans) or not any(word.start_s is not None for word in words):
        return []
    timed: list[Cue] = []
    begin = 0
    for index, word in enumerate(words):
        end = spans[index + 1][0] if index + 1 < len(spans) else len(whole)
        if word.start_s is None or word.end_s is None:
            if timed:
                timed[-1] = replace(timed[-1], text=timed[-1].text + whole[begin:end])
                begin = end
            continue  # before the first time there is: that word takes it along
        timed.append(_cue(word.start_s, word.end_s, whole[begin:end]))
        begin = end
    return timed


def _halve(words: list[Cue]) -> list[Cue]:
    """Cut words in two near the middle, after a comma if there is one, until each part is short enough to read."""
    joined = _joined(words)
    if len(words) == 1 or (_columns(joined.text) <= _CUE_COLUMNS and joined.end_ms - joined.start_ms <= _CUE_MS):
        return [joined]
    total = _columns(joined.text)

    def cost(index: int) -> int:
        before = "".join(word.text for word in words[:index])
        return abs(total - 2 * _columns(before)) - _COMMA_COLUMNS * before.rstrip().endswith(_PAUSES)

    best = min(range(1, len(words)), key=cost)
    return _halve(words[:best]) + _halve(words[best:])


def _joined(words: list[Cue]) -> Cue:
    return Cue(words[0].start_ms, words[-1].end_ms, "".join(word.text for word in words).strip())


def _fold(text: str) -> str:
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

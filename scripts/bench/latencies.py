"""How long after they were said words were shown and committed, and how many changed (core).

Words are reduced to letters and digits, so that a word has one place in the text however it is punctuated.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from scripts.tools.scoring import equal_words

from .samples import Sample, Transcription

_WORD = re.compile(r"[\w']+")


@dataclass(slots=True)
class Latencies:
    """Seconds from each word's end to when it was first on the screen, and to when it could change no more.

    Words that were on the screen and then changed or vanished are counted, the newest one of a tail aside.
    """

    shown: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    changed: int = 0
    heard: int = 0

    def add(self, sample: Sample, result: Transcription) -> None:
        final = _words(result.text)
        counts = _counts(result)
        committed: list[float | None] = [None] * len(final)
        shown: list[float | None] = [None] * len(final)
        reached = 0
        for update in result.updates:
            count = counts[update.committed]
            _note(committed, range(reached, count), update.now_s)
            _note(shown, range(reached, count), update.now_s)
            reached = count
            tail = _words(update.tail)
            pairs = equal_words(final[count : count + len(tail) + 4], tail)
            _note(shown, [count + i for i, _ in pairs], update.now_s)
        for before, after in pairwise(result.updates):
            taken = final[counts[before.committed] : counts[after.committed]]
            self.changed += _changed(_words(before.tail), taken + _words(after.tail))
        self.heard += len(final)
        said = [(key, end_s) for word, end_s in sample.words for key in _words(word)]
        for i, j in equal_words([key for key, _ in said], final):
            for times, latencies in ((shown, self.shown), (committed, self.committed)):
                at_s = times[j]
                if at_s is not None:
                    latencies.append(at_s - said[i][1])


def _note(times: list[float | None], indices: Sequence[int], now_s: float) -> None:
    for index in indices:
        if index < len(times) and times[index] is None:
            times[index] = now_s


def _changed(before: list[str], after: list[str]) -> int:
    """Return how many words of a tail, the newest aside, are gone from what is committed and shown next."""
    return len(before) - 1 - len(equal_words(before[:-1], after)) if before else 0


def _counts(result: Transcription) -> list[int]:
    """Return for each number of committed words how many reduced words begin in their text."""
    text, ends = "", [0]
    for word in result.words:
        text += word.text
        ends.append(len(text))
    starts = [match.start() for match in _WORD.finditer(text)]
    return [bisect_left(starts, end) for end in ends]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())

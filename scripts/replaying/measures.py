"""Word errors and latencies of a replay (core).

Words are compared after Whisper's own normaliser for the error rate. For latencies they are reduced to letters and
digits, so that a word has one place in the text however it is punctuated.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from scripts.replaying.recordings import Recording
from scripts.replaying.run import Replay

_WORD = re.compile(r"[\w']+")


@dataclass(slots=True)
class Measures:
    """What was measured over recordings; lists are one value a word, in seconds.

    Attributes:
        errors: words substituted, inserted or left out, of ``reference`` words.
        reference: words that were said.
        shown: from a word's end to when it was first on the screen.
        committed: from a word's end to when it could change no more.
        changed: words that were on the screen and then changed or vanished, the newest one of a tail aside.
        seen: words at the end.
    """

    errors: int = 0
    reference: int = 0
    shown: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    changed: int = 0
    seen: int = 0

    def add(self, other: "Measures") -> None:
        """Take another recording's measures in."""
        self.errors += other.errors
        self.reference += other.reference
        self.shown += other.shown
        self.committed += other.committed
        self.changed += other.changed
        self.seen += other.seen


def measure(recording: Recording, result: Replay, *, english: bool) -> Measures:
    """Return the measures of one replay."""
    found = Measures()
    if recording.text is not None:
        normalise = EnglishTextNormalizer() if english else BasicTextNormalizer()
        said, heard = normalise(recording.text).split(), normalise(result.text).split()
        found.errors, _ = align(said, heard)
        found.reference = len(said)
    _measure_times(recording, result, found)
    return found


def align(said: Sequence[str], heard: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Return the edit distance between two word lists and the pairs of equal words of one best alignment."""
    rows = [list(range(len(heard) + 1))]
    for i, word in enumerate(said, 1):
        above, row = rows[-1], [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other)))
        rows.append(row)
    pairs, i, j = [], len(said), len(heard)
    while i and j:
        same = said[i - 1] == heard[j - 1]
        if rows[i][j] == rows[i - 1][j - 1] + (not same):
            if same:
                pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return rows[-1][-1], pairs[::-1]


def _measure_times(recording: Recording, result: Replay, found: Measures) -> None:
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
        _, pairs = align(final[count : count + len(tail) + 4], tail)
        _note(shown, [count + i for i, _ in pairs], update.now_s)
    found.seen = len(final)
    for before, after in pairwise(result.updates):
        taken = final[counts[before.committed] : counts[after.committed]]
        found.changed += _changed(_words(before.tail), taken + _words(after.tail))
    said = [(key, end_s) for word, end_s in recording.words for key in _words(word)]
    _, pairs = align([key for key, _ in said], final)
    for i, j in pairs:
        for times, latencies in ((shown, found.shown), (committed, found.committed)):
            at_s = times[j]
            if at_s is not None:
                latencies.append(at_s - said[i][1])


def _note(times: list[float | None], indices: Sequence[int], now_s: float) -> None:
    for index in indices:
        if index < len(times) and times[index] is None:
            times[index] = now_s


def _changed(before: list[str], after: list[str]) -> int:
    """Return how many words of a tail, the newest aside, are gone from what is committed and shown next."""
    return len(before) - 1 - len(align(before[:-1], after)[1]) if before else 0


def _counts(result: Replay) -> list[int]:
    """Return for each number of committed words how many reduced words begin in their text."""
    text, ends = "", [0]
    for word in result.words:
        text += word.text
        ends.append(len(text))
    starts = [match.start() for match in _WORD.finditer(text)]
    return [bisect_left(starts, end) for end in ends]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())

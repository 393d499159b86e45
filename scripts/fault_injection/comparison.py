"""Words lost, doubled and wrong against another text (core)."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, slots=True)
class Difference:
    """How a text differs from another: words missing, words too many (of them said twice), words changed."""

    words: int
    lost: int
    added: int
    doubled: int
    changed: int

    @property
    def errors(self) -> int:
        return self.lost + self.added + self.changed

    @property
    def rate_percent(self) -> float:
        return 100.0 * self.errors / self.words if self.words else 0.0


def compare(reference: Sequence[str], heard: Sequence[str]) -> Difference:
    counts = {"delete": 0, "insert": 0, "replace": 0, "equal": 0}
    doubled = 0
    for each in Levenshtein.opcodes(reference, heard):
        length = max(each.src_end - each.src_start, each.dest_end - each.dest_start)
        counts[each.tag] += length
        if each.tag == "insert" and _repeats(heard, each.dest_start, each.dest_end):
            doubled += length
    return Difference(len(reference), counts["delete"], counts["insert"], doubled, counts["replace"])


def total(differences: Iterable[Difference]) -> Difference:
    return Difference(*(sum(column) for column in zip(*map(astuple, differences), strict=True)))


def _repeats(heard: Sequence[str], first: int, end: int) -> bool:
    """Return True if a run of words says again what stands right before or right after it."""
    length = end - first
    return heard[first:end] in (heard[max(0, first - length) : first], heard[end : end + length])

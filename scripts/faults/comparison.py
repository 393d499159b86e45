"""Words lost, doubled and wrong against another text (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.load.alignment import align


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
        """Return all differing words."""
        return self.lost + self.added + self.changed

    def __add__(self, other: "Difference") -> "Difference":
        """Return the sum over two texts."""
        return Difference(
            self.words + other.words,
            self.lost + other.lost,
            self.added + other.added,
            self.doubled + other.doubled,
            self.changed + other.changed,
        )

    @property
    def rate_percent(self) -> float:
        """Return the errors per word of the text compared with."""
        return 100.0 * self.errors / self.words if self.words else 0.0


NOTHING = Difference(0, 0, 0, 0, 0)


def compare(reference: Sequence[str], heard: Sequence[str]) -> Difference:
    """Return how ``heard`` differs from ``reference``, word against word."""
    steps = align(reference, heard)
    added = [step.heard for step in steps if step.said is None and step.heard is not None]
    return Difference(
        words=len(reference),
        lost=sum(step.heard is None for step in steps),
        added=len(added),
        doubled=_doubled(heard, added),
        changed=sum(step.said is not None and step.heard is not None and not step.right for step in steps),
    )


def _doubled(heard: Sequence[str], added: Sequence[int]) -> int:
    """Count the added words that say again, in a run, what stands right before or after the run."""
    count, at = 0, 0
    while at < len(added):
        length = 1
        while at + length < len(added) and added[at + length] == added[at] + length:
            length += 1
        first = added[at]
        run = list(heard[first : first + length])
        around = (list(heard[max(0, first - length) : first]), list(heard[first + length : first + 2 * length]))
        count += length if run in around else 0
        at += length
    return count

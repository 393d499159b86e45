"""One line of the result (core)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Verdict(enum.Enum):
    """What became of a check."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    OPEN = "open"  # not made yet, or never
    NONE = "none"  # it cannot be made on this server; `measured` says what was seen instead


@dataclass(frozen=True, slots=True)
class Row:
    """A check: its name in the operator's guide, what it is about, what is expected, and what was measured."""

    name: str
    title: str
    expected: str
    measured: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """A check that is still to be judged."""

    name: str
    title: str
    expected: str

    def judged(self, good: bool, measured: str) -> Row:
        """Return the row with a verdict."""
        return Row(self.name, self.title, self.expected, measured, Verdict.PASS if good else Verdict.FAIL)

    def still_open(self) -> Row:
        """Return the row without one."""
        return Row(self.name, self.title, self.expected, "", Verdict.OPEN)

    def impossible(self, measured: str) -> Row:
        """Return the row of a check that cannot be made, with what was seen instead."""
        return Row(self.name, self.title, self.expected, measured, Verdict.NONE)


def listed(values: Sequence[object]) -> str:
    """Return values as a list, a long one shortened in its middle."""
    texts = [str(value) for value in values]
    if len(texts) > 8:
        texts = [*texts[:4], "…", *texts[-2:]]
    return f"[{', '.join(texts)}]"


def plural(count: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def ordinal(number: int) -> str:
    """Return 17 as 17th."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"

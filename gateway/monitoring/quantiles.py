"""Core: percentiles of what is measured, by GPU, since the start and over the last minutes, in bounded memory.

A `Sketch` counts values in buckets whose bounds grow geometrically, so any percentile is known to within two per cent
however many values there were, and sketches add up (Masson, Rim, Lee: "DDSketch", VLDB 2019).
"""

import math
from collections import Counter, deque
from collections.abc import Iterable

GROWTH = 1.04
"""Each bucket's upper bound is so many times its lower one: a value in its middle is at most 2 % off."""
LEAST = 1e-5
"""Smaller values count as this one."""

SLICE_S = 60.0
SLICES = 10
"""The last minutes are kept in slices of one minute, the present one among them: nine to ten minutes in all."""


class Sketch:
    """How values are distributed."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.low = math.inf
        self.high = -math.inf

    def observe(self, value: float) -> None:
        """Count a value."""
        self.buckets[math.ceil(math.log(max(value, LEAST), GROWTH))] += 1
        self.low, self.high = min(self.low, value), max(self.high, value)

    def add(self, other: "Sketch") -> None:
        """Count what another sketch has counted."""
        self.buckets.update(other.buckets)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def percentile(self, share: float) -> float | None:
        """Return about the least value with ``share`` (0 to 1) of all at or below it; None for no values.

        It is never below the least value or above the greatest.
        """
        rank = max(1, math.ceil(round(share * self.count, 6)))
        below = 0
        for bucket in sorted(self.buckets):
            below += self.buckets[bucket]
            if below >= rank:
                middle = 2 * GROWTH**bucket / (GROWTH + 1)
                return min(max(middle, self.low), self.high)
        return None

    @property
    def count(self) -> int:
        """Return how many values were counted."""
        return self.buckets.total()

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert all(count > 0 for count in self.buckets.values())
        assert (self.low <= self.high) == bool(self.count)


def total(sketches: Iterable[Sketch]) -> Sketch:
    """Return one sketch of what several have counted."""
    found = Sketch()
    for sketch in sketches:
        found.add(sketch)
    return found


class _Figure:
    """One figure on one GPU."""

    def __init__(self) -> None:
        self.ever = Sketch()
        self.slices: deque[tuple[int, Sketch]] = deque(maxlen=SLICES)

    def observe(self, value: float, now: float) -> None:
        number = int(now // SLICE_S)
        if not self.slices or self.slices[-1][0] != number:
            self.slices.append((number, Sketch()))
        self.ever.observe(value)
        self.slices[-1][1].observe(value)

    def lately(self, now: float) -> Sketch:
        oldest = int(now // SLICE_S) - SLICES + 1
        return total(sketch for number, sketch in self.slices if number >= oldest)


class Latencies:
    """Named figures in seconds, each by GPU. A name or GPU is there from its first value on."""

    def __init__(self) -> None:
        self._figures: dict[tuple[int, str], _Figure] = {}

    def observe(self, name: str, gpu_id: int, value_s: float, now: float) -> None:
        """Count a value; ``now`` never falls."""
        figure = self._figures.get((gpu_id, name))
        if figure is None:
            figure = self._figures[gpu_id, name] = _Figure()
        figure.observe(value_s, now)

    def ever(self) -> dict[tuple[int, str], Sketch]:
        """Return what was measured since the start, by GPU and name."""
        return {key: figure.ever for key, figure in self._figures.items()}

    def lately(self, now: float) -> dict[tuple[int, str], Sketch]:
        """Return what was measured in the last minutes; what was not has no values."""
        return {key: figure.lately(now) for key, figure in self._figures.items()}

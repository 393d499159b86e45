"""Percentiles of latencies by GPU, since the start and over the last minutes, in bounded memory (core).

A `QuantileSketch` counts values in buckets whose bounds grow geometrically. Any percentile is known to within two per
cent, whatever the number of values, and sketches can be added (Masson, Rim, Lee: "DDSketch", VLDB 2019).
"""

import math
from collections import Counter, deque
from collections.abc import Iterable

GROWTH = 1.04
"""The ratio of a bucket's bounds: all its values are within 2 % of its middle."""
LEAST = 1e-5
"""Smaller values are counted as this one."""

SLICE_S = 60.0
SLICES = 10
"""The last minutes are kept in slices of one minute, the present one included: nine to ten minutes in all."""


class QuantileSketch:
    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.low = math.inf
        self.high = -math.inf

    def observe(self, value: float) -> None:
        self.buckets[math.ceil(math.log(max(value, LEAST), GROWTH))] += 1
        self.low, self.high = min(self.low, value), max(self.high, value)

    def add(self, other: "QuantileSketch") -> None:
        """Add the counts of another sketch."""
        self.buckets.update(other.buckets)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def percentile(self, share: float) -> float | None:
        """Return about the least value with ``share`` (0 to 1) of all values at or below it; None without values.

        The result is never outside the range of the values.
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
        return self.buckets.total()

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert all(count > 0 for count in self.buckets.values())
        assert (self.low <= self.high) == bool(self.count)


def merge(sketches: Iterable[QuantileSketch]) -> QuantileSketch:
    """Return the sum of several sketches."""
    found = QuantileSketch()
    for sketch in sketches:
        found.add(sketch)
    return found


class _Figure:
    """The values of one figure on one GPU, of all times and of each of the last minutes."""

    def __init__(self) -> None:
        self.ever = QuantileSketch()
        self.slices: deque[tuple[int, QuantileSketch]] = deque(maxlen=SLICES)

    def observe(self, value: float, now: float) -> None:
        number = int(now // SLICE_S)
        if not self.slices or self.slices[-1][0] != number:
            self.slices.append((number, QuantileSketch()))
        self.ever.observe(value)
        self.slices[-1][1].observe(value)

    def lately(self, now: float) -> QuantileSketch:
        oldest = int(now // SLICE_S) - SLICES + 1
        return merge(sketch for number, sketch in self.slices if number >= oldest)


class LatencyQuantiles:
    """Named figures in seconds, each by GPU; a figure exists from its first value on."""

    def __init__(self) -> None:
        self._figures: dict[tuple[int, str], _Figure] = {}

    def observe(self, name: str, gpu_id: int, value_s: float, now: float) -> None:
        """Add a value; ``now`` never falls."""
        figure = self._figures.get((gpu_id, name))
        if figure is None:
            figure = self._figures[gpu_id, name] = _Figure()
        figure.observe(value_s, now)

    def ever(self) -> dict[tuple[int, str], QuantileSketch]:
        """Return the sketches of all values, by GPU and name."""
        return {key: figure.ever for key, figure in self._figures.items()}

    def lately(self, now: float) -> dict[tuple[int, str], QuantileSketch]:
        """Return the sketches of the last minutes, by GPU and name; those of figures without values are empty."""
        return {key: figure.lately(now) for key, figure in self._figures.items()}

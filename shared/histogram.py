"""Measured values counted by size, as in Prometheus' histograms (core)."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from shared.messages import HistogramCounts


class Histogram:
    """Counts values by size, and adds them up.

    Args:
        bounds: the buckets' upper bounds, rising; one more bucket has the values above the last bound.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.sum = 0.0
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def tally(self) -> HistogramCounts:
        """Return the counts as a part of a message."""
        return HistogramCounts(tuple(self._counts), self.sum)

    def grow(self, before: HistogramCounts | None, now: HistogramCounts) -> None:
        """Add what another histogram of the same bounds has counted between ``before`` (None: its start) and ``now``.

        Raises:
            ValueError: it has other bounds, or its counts have fallen.
        """
        earlier = before or HistogramCounts((0,) * len(self._counts), 0.0)
        if not len(now.counts) == len(earlier.counts) == len(self._counts):
            raise ValueError(f"{len(self._counts)} counts are expected, got {len(now.counts)}")
        new = [count - was for count, was in zip(now.counts, earlier.counts, strict=True)]
        if min(new) < 0 or now.sum < earlier.sum:
            raise ValueError("counts only grow")
        self._counts = [count + more for count, more in zip(self._counts, new, strict=True)]
        self.sum += now.sum - earlier.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound as Prometheus writes it, with the number of values at or below it."""
        names, total, found = [*(str(float(bound)) for bound in self._bounds), "+Inf"], 0, []
        for name, count in zip(names, self._counts, strict=True):
            total += count
            found.append((name, float(total)))
        return found

    @property
    def count(self) -> int:
        return sum(self._counts)

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert list(self._bounds) == sorted(set(self._bounds))
        assert all(count >= 0 for count in self._counts)


class Histograms:
    """One histogram for each value of a label, created when it is first asked for.

    Args:
        bounds: see `Histogram`.
        labels: values that exist from the start, so that their first increase is seen.
    """

    def __init__(self, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._bounds = tuple(bounds)
        self._by_label = {label: Histogram(bounds) for label in labels}

    def of(self, label: str) -> Histogram:
        return self._by_label.setdefault(label, Histogram(self._bounds))

    def __iter__(self) -> Iterator[tuple[str, Histogram]]:
        yield from self._by_label.items()

"""When each part of a session's audio arrived, to measure how old it is when its text goes out."""

from bisect import bisect_left

RESOLUTION_S = 0.02
RESOLUTION = 320
"""Arrivals of fewer samples than this within this time are joined, so that tiny messages cost little memory."""


class ArrivalTimes:
    """The times at which a session's samples arrived, by position, as far back as its journal reaches."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._times: list[float] = []
        self._began = 0

    def note(self, end: int, now: float) -> None:
        """Note that all samples before ``end`` have arrived, those that are not noted yet just now."""
        last = self._ends[-1] if self._ends else self._began
        if end <= last:
            return
        before = self._ends[-2] if len(self._ends) > 1 else self._began
        if self._ends and last - before < RESOLUTION and now - self._times[-1] < RESOLUTION_S:
            self._ends[-1] = end  # as if all had come with the first part: latencies are never understated
        else:
            self._ends.append(end)
            self._times.append(now)

    def age_s(self, until: int, now: float) -> float | None:
        """Return how long ago the last sample before ``until`` arrived; None if unknown or forgotten."""
        if not self._began < until:
            return None
        index = bisect_left(self._ends, until)
        return max(0.0, now - self._times[index]) if index < len(self._ends) else None

    def forget(self, before: int) -> None:
        """Forget the samples before this position."""
        count = bisect_left(self._ends, before)
        if count:
            self._began = self._ends[count - 1]
            del self._ends[:count], self._times[:count]

    def __len__(self) -> int:
        return len(self._ends)

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert len(self._ends) == len(self._times)
        assert self._ends == sorted(set(self._ends))
        assert self._times == sorted(self._times)
        assert not self._ends or self._began < self._ends[0]

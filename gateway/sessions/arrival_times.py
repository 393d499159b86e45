"""Core: when each part of a session's audio arrived, so that a later position can be told how long it took."""

from bisect import bisect_left

RESOLUTION_S = 0.02
RESOLUTION = 320
"""Arrivals of fewer samples than this, so soon after one another, are joined: tiny messages must cost little."""


class Arrivals:
    """The times at which a session's samples came in, by position; as far back as its journal reaches."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._times: list[float] = []
        self._began = 0

    def note(self, end: int, now: float) -> None:
        """Note that every sample before ``end`` has arrived; those not noted earlier came now."""
        last = self._ends[-1] if self._ends else self._began
        if end <= last:
            return
        before = self._ends[-2] if len(self._ends) > 1 else self._began
        if self._ends and last - before < RESOLUTION and now - self._times[-1] < RESOLUTION_S:
            self._ends[-1] = end  # as if all of it had come with its first part: a latency is never understated
        else:
            self._ends.append(end)
            self._times.append(now)

    def age_s(self, until: int, now: float) -> float | None:
        """Return how long ago the last sample before ``until`` arrived; None if that is not known (any more)."""
        if not self._began < until:
            return None
        index = bisect_left(self._ends, until)
        return max(0.0, now - self._times[index]) if index < len(self._ends) else None

    def forget(self, before: int) -> None:
        """Forget the arrivals of samples before this position."""
        gone = bisect_left(self._ends, before)
        if gone:
            self._began = self._ends[gone - 1]
            del self._ends[:gone], self._times[:gone]

    def __len__(self) -> int:
        return len(self._ends)

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert len(self._ends) == len(self._times)
        assert self._ends == sorted(set(self._ends))
        assert self._times == sorted(self._times)
        assert not self._ends or self._began < self._ends[0]

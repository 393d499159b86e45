"""Core: who is moved on purpose: off a worker that drains, and, when loads differ, from the fullest one."""

from typing import Generic

from gateway.placement.leases import H, Placement
from gateway.placement.workers import Pool, Worker
from gateway.sessions.state import SETTLED, State

BALANCE_EVERY_S = 2.0
"""Loads are evened out by one session at a time, no oftener than this, ..."""
IMPATIENT_S = 10.0
"""... in a pause of its speech, or anyway after this long."""


class Balance(Generic[H]):
    """Picks the sessions to be moved.

    Args:
        pool: workers and leases.
        placement: who holds them.
        now: seconds of a monotonic clock, as in every call.
    """

    def __init__(self, pool: Pool, placement: Placement[H], now: float) -> None:
        self._pool = pool
        self._placement = placement
        self._uneven_since: float | None = None
        self._last = now

    def movable(self, worker: Worker) -> list[H]:
        """Return those on a worker that can be moved now, and are not being moved yet."""
        held = self._placement.holders(worker)
        return [each for each in held if each.session.standby is None and each.session.state in SETTLED]

    def evening(self, now: float) -> list[tuple[H, Worker]]:
        """Return those of whom one is to be moved to even out the loads, and from where; nobody most of the time."""
        worker = self._pool.uneven()
        if worker is None or self._placement.line or self._is_moving():
            self._uneven_since = None
            return []
        self._uneven_since = now if self._uneven_since is None else self._uneven_since
        if now - self._last < BALANCE_EVERY_S:
            return []
        movable = [each for each in self.movable(worker) if each.session.state is State.READY]
        pausing = [each for each in movable if each.session.pausing]
        if not pausing and now - self._uneven_since >= IMPATIENT_S:
            pausing = movable
        if pausing:
            self._last = now
        return [(each, worker) for each in pausing]

    def _is_moving(self) -> bool:
        held = (each for worker in self._pool.workers() for each in self._placement.holders(worker))
        return any(each.session.standby is not None for each in held)

"""Core: who is moved on purpose: off a worker that drains, and, when loads differ, from the fullest one."""

from typing import Generic

from gateway.placement import H, Placement
from gateway.pool import Pool, Worker
from gateway.states import SETTLED, State

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

    def pick(self, now: float) -> tuple[H, Worker] | None:
        """Return whom to move, and from where, to even out the loads; None if nobody, or not now."""
        worker = self._pool.uneven()
        if worker is None or self._placement.line or self._is_moving():
            self._uneven_since = None
            return None
        self._uneven_since = now if self._uneven_since is None else self._uneven_since
        if now - self._last < BALANCE_EVERY_S:
            return None
        # A session that may be what kills its workers is not taken to yet another one for this.
        ready = [each for each in self.movable(worker) if each.session.state is State.READY]
        movable = [each for each in ready if not each.session.suspicion.present]
        pausing = [each for each in movable if each.session.pausing]
        if not pausing and now - self._uneven_since >= IMPATIENT_S:
            pausing = movable
        if not pausing:
            return None
        self._last = now
        return pausing[0], worker

    def _is_moving(self) -> bool:
        held = (each for worker in self._pool.workers() for each in self._placement.holders(worker))
        return any(each.session.standby is not None for each in held)

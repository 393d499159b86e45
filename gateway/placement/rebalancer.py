"""Core: who is moved on purpose: off a worker that drains, and, when loads differ, from the fullest one."""

from typing import Generic

from gateway.placement.leases import H, LeaseTable
from gateway.placement.workers import WorkerHandle, WorkerRegistry
from gateway.sessions.state import SETTLED, State

BALANCE_EVERY_S = 2.0
"""Loads are evened out by one session at a time, no oftener than this, ..."""
IMPATIENT_S = 10.0
"""... in a pause of its speech, or anyway after this long."""


class Rebalancer(Generic[H]):
    """Picks the sessions to be moved.

    Args:
        pool: workers and leases.
        placement: who holds them.
        now: seconds of a monotonic clock, as in every call.
    """

    def __init__(self, workers: WorkerRegistry, leases: LeaseTable[H], now: float) -> None:
        self._workers = workers
        self._leases = leases
        self._imbalanced_since: float | None = None
        self._last = now

    def movable(self, worker: WorkerHandle) -> list[H]:
        """Return those on a worker that can be moved now, and are not being moved yet."""
        held = self._leases.holders(worker)
        return [each for each in held if each.session.migration_lease is None and each.session.state in SETTLED]

    def migration_candidates(self, now: float) -> list[tuple[H, WorkerHandle]]:
        """Return those of whom one is to be moved to even out the loads, and from where; nobody most of the time."""
        worker = self._workers.most_overloaded()
        if worker is None or self._leases.waiting or self._is_moving():
            self._imbalanced_since = None
            return []
        self._imbalanced_since = now if self._imbalanced_since is None else self._imbalanced_since
        if now - self._last < BALANCE_EVERY_S:
            return []
        movable = [each for each in self.movable(worker) if each.session.state is State.READY]
        pausing = [each for each in movable if each.session.between_utterances]
        if not pausing and now - self._imbalanced_since >= IMPATIENT_S:
            pausing = movable
        if pausing:
            self._last = now
        return [(each, worker) for each in pausing]

    def _is_moving(self) -> bool:
        held = (each for worker in self._workers.all() for each in self._leases.holders(worker))
        return any(each.session.migration_lease is not None for each in held)

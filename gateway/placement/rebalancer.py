"""Which sessions are migrated on purpose: off a draining worker, and off the fullest one when loads differ (core)."""

from gateway.placement.leases import LeaseTable
from gateway.placement.worker_handle import WorkerHandle
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.state import SETTLED, State

BALANCE_EVERY_S = 2.0
"""To even out the loads, one session is migrated at a time, and no more often than this ..."""
IMPATIENT_S = 10.0
"""... between two utterances; after this time of imbalance also within one."""


class Rebalancer:
    """Picks the sessions to be migrated.

    Args:
        workers: all workers.
        leases: which sessions they serve.
        now: seconds of a monotonic clock, as in every call.
    """

    def __init__(self, workers: WorkerRegistry, leases: LeaseTable, now: float) -> None:
        self._workers = workers
        self._leases = leases
        self._imbalanced_since: float | None = None
        self._last = now

    def movable(self, worker: WorkerHandle) -> list[ClientSession]:
        """Return the sessions of a worker that can be migrated now and are not being migrated yet."""
        held = self._leases.holders(worker)
        return [each for each in held if each.session.migration_lease is None and each.session.state in SETTLED]

    def migration_candidates(self, now: float) -> list[tuple[ClientSession, WorkerHandle]]:
        """Return the sessions of which one is to be migrated to even out the loads, each with its worker.

        Most of the time there are none.
        """
        worker = self._workers.most_overloaded()
        if worker is None or self._leases.waiting or self._is_migrating():
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

    def _is_migrating(self) -> bool:
        held = (each for worker in self._workers.all() for each in self._leases.holders(worker))
        return any(each.session.migration_lease is not None for each in held)

"""Which session has which slot (core)."""

from collections.abc import Iterator

from gateway.placement import policy
from gateway.placement.events import WorkerLost
from gateway.placement.wait_queue import WaitQueue
from gateway.placement.worker_handle import Lease, WorkerHandle
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession


class LeaseTable:
    """The leases of all sessions, and the queue of those that wait for one.

    Attributes:
        waiting: sessions without a slot.
    """

    def __init__(self, workers: WorkerRegistry) -> None:
        self.waiting = WaitQueue(workers)
        self._workers = workers
        self._holders: dict[int, ClientSession] = {}

    def find(self, lease: int) -> tuple[ClientSession, WorkerHandle] | None:
        """Return a lease's session and worker; None if it was released or revoked."""
        holder, worker = self._holders.get(lease), self._workers.worker_of(lease)
        return None if holder is None or worker is None else (holder, worker)

    def holders(self, worker: WorkerHandle) -> list[ClientSession]:
        """Return the sessions that have a lease on a worker, the oldest lease first."""
        return [self._holders[lease] for lease in worker.leases if lease in self._holders]

    def acquire(self, client: ClientSession, now: float, *, avoid: str | None = None) -> Lease | None:
        """Lease a slot for a session that has none; ``avoid`` names a worker that has just failed it."""
        session = client.session
        avoided, barred = self._isolate(client)
        if avoid is not None:
            avoided |= {avoid}
        hurry = session.was_ready  # its client is speaking
        lease = self._workers.acquire(session.id, now, avoid=avoided, barred=barred, hurry=hurry)
        return self._hold(client, lease)

    def acquire_elsewhere(self, client: ClientSession, source: WorkerHandle, now: float) -> Lease | None:
        """Lease a second slot for a session that is to leave ``source``."""
        avoided, barred = self._isolate(client)
        lease = self._workers.acquire(client.session.id, now, avoid=avoided | {source.name}, barred=barred)
        if lease is not None and lease.worker == source.name:
            self._workers.release(lease.id)
            return None
        return self._hold(client, lease)

    def _hold(self, client: ClientSession, lease: Lease | None) -> Lease | None:
        if lease is not None:
            self._holders[lease.id] = client
        return lease

    def _isolate(self, client: ClientSession) -> tuple[frozenset[str], frozenset[str]]:
        found = ((self._workers.worker_of(lease), each.session.poison) for lease, each in self._holders.items())
        others = ((worker.name, detector) for worker, detector in found if worker is not None)
        with_room = frozenset(worker.name for worker in self._workers.with_room())
        return policy.isolate_suspects(client.session.poison, others, with_room)

    def release(self, lease: int, now: float, *, full: bool = False) -> tuple[ClientSession, WorkerHandle] | None:
        """End a lease; return its session and worker, as `find`.

        Args:
            lease: its number.
            now: the time.
            full: the worker has answered that it has no free slot.
        """
        found = self.find(lease)
        self._holders.pop(lease, None)
        if full:
            self._workers.release_as_full(lease, now)
        else:
            self._workers.release(lease)
        return found

    def pop_all(self, lost: WorkerLost) -> Iterator[tuple[int, ClientSession]]:
        """Remove the leases that ended with a worker, and yield each with its session."""
        for lease, _ in lost.leases:
            holder = self._holders.pop(lease, None)
            if holder is not None:
                yield lease, holder

    def assign_waiting(self, now: float) -> Iterator[tuple[ClientSession, Lease]]:
        """Lease free slots to the sessions that wait, and yield each session that gets one."""
        return self.waiting.serve(lambda client: self.acquire(client, now))

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self._workers.check()
        self.waiting.check()
        held = {lease for worker in self._workers.all() for lease in worker.leases}
        assert held == set(self._holders)
        for lease, holder in self._holders.items():
            assert lease in (holder.session.lease, holder.session.migration_lease), "a slot that no session uses"

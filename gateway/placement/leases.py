"""Core: which session has which worker's slot, which one it gets, and the line of those that wait for one."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from gateway.placement.workers import Lease, WorkerHandle, WorkerLost, WorkerRegistry
from gateway.sessions.session import Session
from gateway.sessions.state import State


class SlotHolder(Protocol):
    """Whoever a slot is for."""

    @property
    def session(self) -> Session:
        """Return its session."""


H = TypeVar("H", bound=SlotHolder)


class LeaseTable(Generic[H]):
    """The pool's leases with their holders, and who waits in line.

    Args:
        pool: workers and leases.
    """

    def __init__(self, workers: WorkerRegistry) -> None:
        self.waiting: list[H] = []
        self._workers = workers
        self._holders: dict[int, H] = {}

    # --- leases ---------------------------------------------------------------------------------------------

    def find(self, lease: int) -> tuple[H, WorkerHandle] | None:
        """Return whose lease it is and where; None if it was given back or revoked."""
        holder, worker = self._holders.get(lease), self._workers.worker_of(lease)
        return None if holder is None or worker is None else (holder, worker)

    def holders(self, worker: WorkerHandle) -> list[H]:
        """Return those who have a lease on the worker, in the order in which they came."""
        return [self._holders[lease] for lease in worker.leases if lease in self._holders]

    def acquire(self, holder: H, now: float, *, avoid: str | None = None) -> Lease | None:
        """Lease a slot for a session that has none; ``avoid`` names a worker that has just failed it."""
        session = holder.session
        shunned, barred = self.isolate_suspects(session)
        if avoid is not None:
            shunned |= {avoid}
        hurry = session.was_ready  # somebody is speaking
        lease = self._workers.acquire(session.id, now, avoid=shunned, barred=barred, hurry=hurry)
        return self._record(holder, lease)

    def acquire_elsewhere(self, holder: H, source: WorkerHandle, now: float) -> Lease | None:
        """Lease a second slot for a session that is to leave ``source``."""
        shunned, barred = self.isolate_suspects(holder.session)
        lease = self._workers.acquire(holder.session.id, now, avoid=shunned | {source.name}, barred=barred)
        if lease is not None and lease.worker == source.name:
            self._workers.release(lease.id)
            return None
        return self._record(holder, lease)

    def _record(self, holder: H, lease: Lease | None) -> Lease | None:
        if lease is not None:
            self._holders[lease.id] = holder
        return lease

    def release(self, lease: int, now: float, *, full: bool = False) -> tuple[H, WorkerHandle] | None:
        """End a lease, ``full`` if the worker had no slot after all; return whose it was and where, as `find`."""
        found = self.find(lease)
        self._holders.pop(lease, None)
        if full:
            self._workers.release_as_full(lease, now)
        else:
            self._workers.release(lease)
        return found

    def pop_all(self, lost: WorkerLost) -> Iterator[tuple[int, H]]:
        """Yield the leases that went with a worker, each with whose it was until now."""
        for lease, _ in lost.leases:
            holder = self._holders.pop(lease, None)
            if holder is not None:
                yield lease, holder

    def isolate_suspects(self, session: Session) -> tuple[frozenset[str], frozenset[str]]:
        """Return the workers that a session had better not share, and those that it must not.

        Two sessions that may be killing their workers are kept apart. Not at any price, but never so that one which
        will be ended by the next death shares it with another suspect: it would pay for that one's.
        """
        suspicion = session.poison
        if not suspicion.suspected:
            return suspicion.workers, frozenset()
        held = [(self._workers.worker_of(lease), each.session) for lease, each in self._holders.items()]
        suspects = {worker.name for worker, each in held if worker is not None and each.poison.suspected}
        trials = {worker.name for worker, each in held if worker is not None and each.poison.on_last_chance}
        barred = suspects if suspicion.on_last_chance else trials
        # Its last chance is better spent, even if it has to wait, where it has not failed yet.
        untried = {worker.name for worker in self._workers.with_room()} - suspicion.workers
        if suspicion.on_last_chance and untried:
            barred |= suspicion.workers
        return suspicion.workers | suspects, frozenset(barred)

    # --- the line -------------------------------------------------------------------------------------------

    def enqueue(self, holder: H, *, newcomer: bool) -> bool:
        """Have a session wait for a slot; False if it may not.

        Newcomers wait for the first worker alone; who had a slot, while the line is shorter than there are slots.
        """
        may = not self._workers.ever_served if newcomer else len(self.waiting) < self._workers.known_slots()
        if may:
            self.waiting.append(holder)
        return may

    def leave_queue(self, holder: H) -> None:
        """Take a session out of the line, with those that no longer wait."""
        self.waiting = [each for each in self.waiting if each.session.state is State.WAITING and each is not holder]

    def assign_waiting(self, now: float) -> Iterator[tuple[H, Lease]]:
        """Give free slots to those who wait, in order; one that may not share a worker lets the next one go first."""
        self.waiting = [each for each in self.waiting if each.session.state is State.WAITING]
        for holder in list(self.waiting):
            # Most often there is nothing to give: that must cost little, however long the line is.
            if not self._workers.with_room():
                return
            if holder not in self.waiting or holder.session.state is not State.WAITING:
                continue  # served, or gone, while another was
            lease = self.acquire(holder, now)
            if lease is not None:
                self.waiting.remove(holder)
                yield holder, lease

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self._workers.check()
        held = {lease for worker in self._workers.all() for lease in worker.leases}
        assert held == set(self._holders)
        for lease, holder in self._holders.items():
            assert lease in (holder.session.lease, holder.session.migration_lease), "a slot that nobody uses"
        assert len(self.waiting) == len({each.session.id for each in self.waiting})

"""Core: which session has which worker's slot, which one it gets, and the line of those that wait for one."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from gateway.placement.workers import Grant, Lost, Pool, Worker
from gateway.sessions.session import Session
from gateway.sessions.state import State


class Holder(Protocol):
    """Whoever a slot is for."""

    @property
    def session(self) -> Session:
        """Return its session."""


H = TypeVar("H", bound=Holder)


class Placement(Generic[H]):
    """The pool's leases with their holders, and who waits in line.

    Args:
        pool: workers and leases.
    """

    def __init__(self, pool: Pool) -> None:
        self.line: list[H] = []
        self._pool = pool
        self._holders: dict[int, H] = {}

    # --- leases ---------------------------------------------------------------------------------------------

    def find(self, lease: int) -> tuple[H, Worker] | None:
        """Return whose lease it is and where; None if it was given back or revoked."""
        holder, worker = self._holders.get(lease), self._pool.holder(lease)
        return None if holder is None or worker is None else (holder, worker)

    def holders(self, worker: Worker) -> list[H]:
        """Return those who have a lease on the worker, in the order in which they came."""
        return [self._holders[lease] for lease in worker.leases if lease in self._holders]

    def lease(self, holder: H, now: float, *, avoid: str | None = None) -> Grant | None:
        """Lease a slot for a session that has none; ``avoid`` names a worker that has just failed it."""
        session = holder.session
        shunned, barred = self._keep_apart(session)
        if avoid is not None:
            shunned |= {avoid}
        hurry = session.was_ready  # somebody is speaking
        grant = self._pool.place(session.id, now, avoid=shunned, barred=barred, hurry=hurry)
        return self._taken(holder, grant)

    def lease_elsewhere(self, holder: H, source: Worker, now: float) -> Grant | None:
        """Lease a second slot for a session that is to leave ``source``."""
        shunned, barred = self._keep_apart(holder.session)
        grant = self._pool.place(holder.session.id, now, avoid=shunned | {source.name}, barred=barred)
        if grant is not None and grant.worker == source.name:
            self._pool.release(grant.lease)
            return None
        return self._taken(holder, grant)

    def _taken(self, holder: H, grant: Grant | None) -> Grant | None:
        if grant is not None:
            self._holders[grant.lease] = holder
        return grant

    def give_back(self, lease: int, now: float, *, full: bool = False) -> tuple[H, Worker] | None:
        """End a lease, ``full`` if the worker had no slot after all; return whose it was and where, as `find`."""
        found = self.find(lease)
        self._holders.pop(lease, None)
        if full:
            self._pool.refused(lease, now)
        else:
            self._pool.release(lease)
        return found

    def bereave(self, lost: Lost) -> Iterator[tuple[int, H]]:
        """Yield the leases that went with a worker, each with whose it was until now."""
        for lease, _ in lost.leases:
            holder = self._holders.pop(lease, None)
            if holder is not None:
                yield lease, holder

    def _keep_apart(self, session: Session) -> tuple[frozenset[str], frozenset[str]]:
        """Return the workers that a session had better not share, and those that it must not.

        Two sessions that may be killing their workers are kept apart. Not at any price, but never so that one which
        will be ended by the next death shares it with another suspect: it would pay for that one's.
        """
        suspicion = session.suspicion
        if not suspicion.present:
            return suspicion.workers, frozenset()
        held = [(self._pool.holder(lease), each.session) for lease, each in self._holders.items()]
        suspects = {worker.name for worker, each in held if worker is not None and each.suspicion.present}
        trials = {worker.name for worker, each in held if worker is not None and each.suspicion.on_trial}
        barred = suspects if suspicion.on_trial else trials
        # Its last chance is better spent, even if it has to wait, where it has not failed yet.
        untried = {worker.name for worker in self._pool.with_room()} - suspicion.workers
        if suspicion.on_trial and untried:
            barred |= suspicion.workers
        return suspicion.workers | suspects, frozenset(barred)

    # --- the line -------------------------------------------------------------------------------------------

    def queue(self, holder: H, *, newcomer: bool) -> bool:
        """Have a session wait for a slot; False if it may not.

        Newcomers wait for the first worker alone; who had a slot, while the line is shorter than there are slots.
        """
        may = not self._pool.ever_served if newcomer else len(self.line) < self._pool.known_slots()
        if may:
            self.line.append(holder)
        return may

    def step_out(self, holder: H) -> None:
        """Take a session out of the line, with those that no longer wait."""
        self.line = [each for each in self.line if each.session.state is State.WAITING and each is not holder]

    def serve(self, now: float) -> Iterator[tuple[H, Grant]]:
        """Give free slots to those who wait, in order; one that may not share a worker lets the next one go first."""
        self.line = [each for each in self.line if each.session.state is State.WAITING]
        for holder in list(self.line):
            # Most often there is nothing to give: that must cost little, however long the line is.
            if not self._pool.with_room():
                return
            if holder not in self.line or holder.session.state is not State.WAITING:
                continue  # served, or gone, while another was
            grant = self.lease(holder, now)
            if grant is not None:
                self.line.remove(holder)
                yield holder, grant

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self._pool.check()
        held = {lease for worker in self._pool.workers() for lease in worker.leases}
        assert held == set(self._holders)
        for lease, holder in self._holders.items():
            assert lease in (holder.session.lease, holder.session.standby), "a slot that nobody uses"
        assert len(self.line) == len({each.session.id for each in self.line})

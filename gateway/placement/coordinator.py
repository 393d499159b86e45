"""Carries out what sessions ask for: slots, messages to their workers, other slots when a worker is lost (shell)."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from gateway.placement import events
from gateway.placement.leases import LeaseTable
from gateway.placement.observer import Observers
from gateway.placement.rebalancer import Rebalancer
from gateway.placement.worker_handle import Lease, WorkerHandle, WorkerSocket
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import (
    BecameReady,
    CloseConnection,
    Command,
    Hinted,
    LeaseMessage,
    Migrated,
    ReleaseSlot,
    RequestSlot,
    SendToWorker,
)
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.sessions.session import Session
from gateway.sessions.state import IllegalTransitionError, State
from shared import logs
from shared import messages as m
from shared.errors import NoCapacityError, SessionError

log = logs.get("gateway")


@dataclass(frozen=True, slots=True)
class _CheckOptions:
    """Check a session's options against the worker of a lease; the coordinator's own command."""

    lease: int


class Coordinator:
    """Executes sessions' commands, and keeps leases, sessions and workers in agreement.

    Commands go through one queue, and so do the workers that turn out to be unreachable meanwhile: a session's own
    commands are executed in order before anything else happens to the session. All of it is done, with whatever it
    leads to, before the outermost call returns.

    Args:
        name: this boot of the gateway, as workers know it.
        link: the socket to the workers.
        workers: all workers.
        observers: get an event for everything that happens.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, link: WorkerSocket, workers: WorkerRegistry, observers: Observers, clock: Callable[[], float]
    ) -> None:
        self.leases = LeaseTable(workers)
        self._name = name
        self._link = link
        self._workers = workers
        self._observers = observers
        self._clock = clock
        self._rebalancer = Rebalancer(workers, self.leases, clock())
        self._assigning = False
        self._queue: deque[tuple[ClientSession, Command | _CheckOptions]] = deque()
        self._unreachable: deque[bytes] = deque()
        self._touched: dict[str, ClientSession] = {}  # the sessions whose clients may have something to read now
        self._executing = False
        self._blamed: dict[str, tuple[bytes, list[Session]]] = {}  # by worker: the sessions blamed for its silence

    # --- commands -------------------------------------------------------------------------------------------

    def execute(self, client: ClientSession, commands: Sequence[Command | _CheckOptions]) -> None:
        """Execute a session's commands in order, after those already in the queue."""
        self._touched[client.session.id] = client
        self._queue.extend((client, command) for command in commands)
        if self._executing:
            return
        self._executing = True
        self._execute_queued()
        self._executing = False
        touched, self._touched = self._touched, {}
        for each in touched.values():
            each.notify_writer()

    def _execute_queued(self) -> None:
        while self._queue or self._unreachable:
            try:
                if self._queue:
                    self._execute_one(*self._queue.popleft())
                else:
                    self.revoke_worker(self._workers.mark_lost(self._unreachable.popleft(), "cannot be reached"))
            except Exception:  # one session's failure must not take from the others what they wait for
                log.exception("an action failed", event_id="action_failed")

    def _execute_one(self, client: ClientSession, command: Command | _CheckOptions) -> None:
        match command:
            case SendToWorker(message):
                self._send_to_worker(message)
            case RequestSlot(avoid):
                self._request_slot(client, avoid)
            case ReleaseSlot(lease, close):
                self._release(lease, close=close)
            case BecameReady(load_ms):
                self._report_ready(client, load_ms)
            case Migrated(gap_s, from_gpu, cause):
                gpu_id = client.session.gpu_id
                self._report(events.SessionMigrated(client.session.id, from_gpu, gpu_id, cause, gap_s, time.time()))
            case Hinted(code, sentence):
                self._report(events.ClientHinted(client.session.id, code, sentence))
            case CloseConnection():
                client.close_after_flush(command)
            case _CheckOptions(lease):
                self._check_options(client, lease)
            case _:
                assert_never(command)

    def _send_to_worker(self, message: LeaseMessage) -> None:
        worker = self._workers.worker_of(message.lease)
        # If the lease has ended before its messages were sent, the next one opens with everything that is in them. So
        # it will where an earlier message of the same turn did not get through: none may follow it then.
        if worker is None or worker.identity in self._unreachable:
            return
        if not self._link.send(worker.identity, message):
            self._unreachable.append(worker.identity)

    def _report(self, event: events.Event) -> None:
        self._observers.observe(event)

    def _report_ready(self, client: ClientSession, worker_ms: float) -> None:
        session, now = client.session, self._clock()
        if session.gpu_id is None or client.leased_at is None:
            raise IllegalTransitionError("A session without a slot has become ready")
        total_ms = (now - client.requested_at) * 1000
        load_ms = (now - client.leased_at) * 1000
        allocate_ms = total_ms - load_ms - client.accept_ms
        self._report(
            events.SessionReady(
                session.id, session.gpu_id, client.accept_ms, allocate_ms, load_ms, total_ms, worker_ms, now
            )
        )

    # --- slots ----------------------------------------------------------------------------------------------

    def _request_slot(self, client: ClientSession, avoid: str | None) -> None:
        session, newcomer = client.session, client.leased_at is None
        if session.state is not State.WAITING:
            return  # it has ended since it asked
        lease = self.leases.acquire(client, self._clock(), avoid=avoid)
        self.leases.waiting.remove(client)
        if lease is not None:
            self._assign(client, lease)
        elif not self.leases.waiting.add(client, newcomer=newcomer):
            self._report(events.NoSlotFree(session.id))
            self.execute(client, session.rejected(no_capacity()))
        elif not newcomer:
            session.on_queued()

    def _assign(self, client: ClientSession, lease: Lease) -> None:
        session, now = client.session, self._clock()
        allocate_ms = None
        if client.leased_at is None:
            client.leased_at = now
            allocate_ms = (now - client.requested_at) * 1000 - client.accept_ms
        self._report(events.SlotLeased(session.id, lease.gpu_id, lease.id, allocate_ms))
        self.execute(client, [*session.on_lease(lease.id, lease.gpu_id, now), _CheckOptions(lease.id)])

    def _check_options(self, client: ClientSession, lease: int) -> None:
        """End a session whose options its worker cannot serve, once it is known that the worker can be reached."""
        session, worker = client.session, self._workers.worker_of(lease)
        if worker is None or worker.registration is None or worker.identity in self._unreachable:
            return
        try:
            server = worker.registration
            client.options.check(server.languages, server.model, translates=server.translates)
        except SessionError as error:
            self.execute(client, session.stop(error))

    def assign_waiting(self) -> None:
        """Give free slots to the sessions that wait for one."""
        if self._assigning:
            return  # called from within the loop below, which gives away this slot too
        self._assigning = True
        try:
            for client, lease in self.leases.assign_waiting(self._clock()):
                self._assign(client, lease)
        finally:
            self._assigning = False

    def _release(self, lease: int, *, close: bool) -> None:
        worker = self.revoke(lease)
        if worker is not None and close:
            self._link.send(worker.identity, m.Close(lease))
        self.assign_waiting()

    def revoke(self, lease: int, *, full: bool = False) -> WorkerHandle | None:
        """End a lease without a word to its session; return its worker, None if it had ended before."""
        found = self.leases.release(lease, self._clock(), full=full)
        if found is None:
            return None
        client, worker = found
        self._report(events.SlotReleased(client.session.id, worker.gpu_id, lease))
        return worker

    # --- losses ---------------------------------------------------------------------------------------------

    def lose_stream(
        self, client: ClientSession, worker: WorkerHandle, reason: str, cause: str, *, blame: bool = True
    ) -> None:
        """Have a session go on elsewhere whose lease on a live worker has been revoked.

        Args:
            client: the session.
            worker: where it was.
            reason: a sentence's part, for the log and perhaps the client.
            cause: the word under which this is counted.
            blame: whether the session's audio may be the reason.
        """
        session = client.session
        commands = session.on_lost(reason, self._clock(), worker=worker.name, cause=cause, blame=blame)
        self._report(events.StreamLost(session.id, worker.name, cause, reason))
        self.execute(client, commands)

    def revoke_worker(self, lost: events.WorkerLost | None) -> None:
        """Have all sessions of a lost worker go on elsewhere."""
        if lost is None:
            return
        self._report(lost)
        blamed: list[Session] = []
        # A process that has ended cannot be reached. One that is only silent, or in a long step, still has its socket.
        reachable = lost.died and self._link.send(lost.identity, m.Welcome(self._name))
        for lease, client in self.leases.pop_all(lost):
            session = client.session
            self._report(events.SlotReleased(session.id, lost.gpu_id, lease))
            if lease == session.migration_lease:
                self.execute(client, session.on_migration_lost())
                continue
            commands = session.on_lost(
                lost.reason,
                self._clock(),
                worker=lost.worker,
                last_seen=lost.last_seen,
                blame=lost.died,
                died=not reachable,
            )
            if reachable and lost.silent and lost.worker in session.poison.workers:
                blamed.append(session)
            self.execute(client, commands)
        self._blamed[lost.worker] = (lost.identity, blamed)

    def retract_blame(self, worker: str, identity: bytes) -> None:
        """Take back that sessions were blamed for a worker's silence, if this is the address of the same boot."""
        lost_identity, blamed = self._blamed.pop(worker, (b"", []))
        for session in blamed if lost_identity == identity else []:
            session.poison.retract(worker)

    def abandon_opening(self, client: ClientSession, lease: int) -> None:
        """Give up a lease that did not become ready in time; if the worker is still loading, give up the worker."""
        worker, limit_s = self._workers.worker_of(lease), client.limits.open_wait_s
        if worker is None:
            return
        if worker.is_loading:
            self.revoke_worker(self._workers.mark_load_overdue(worker, limit_s))
            return
        self._link.send(worker.identity, m.Close(lease))
        self.revoke(lease)
        if lease == client.session.migration_lease:
            self.execute(client, client.session.on_migration_lost())
        else:
            self.lose_stream(client, worker, f"not ready within {limit_s:g} s", "not_ready")

    # --- time -----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Take out the workers that are silent or stuck."""
        for lost in self._workers.expire(now):
            self.revoke_worker(lost)

    def rebalance(self, now: float) -> None:
        """Serve the wait queue, empty the draining workers, even out the loads."""
        self.assign_waiting()
        for worker in self._workers.draining():
            for client in self._rebalancer.movable(worker):
                if self._workers.with_room():
                    self._migrate(client, "drain", worker)
        for client, worker in self._rebalancer.migration_candidates(now):
            if self._migrate(client, "balance", worker):
                break

    def _migrate(self, client: ClientSession, reason: str, source: WorkerHandle) -> bool:
        session = client.session
        lease = self.leases.acquire_elsewhere(client, source, self._clock())
        if lease is None:
            return False
        self._report(events.MigrationStarted(session.id, reason, source.gpu_id, lease.gpu_id))
        self._report(events.SlotLeased(session.id, lease.gpu_id, lease.id, None))
        self.execute(client, session.migrate(lease.id, reason, self._clock()))
        return True


def no_capacity() -> SessionError:
    """Return the error of a client for which there is no slot."""
    return NoCapacityError("No GPU resources available", retry_after_s=RETRY_AFTER_S)

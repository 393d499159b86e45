"""Joins sessions and workers (shell): performs what sessions ask for, and hands them what workers say."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.placement import events
from gateway.placement.leases import LeaseTable
from gateway.placement.observer import Observers
from gateway.placement.rebalancer import Rebalancer
from gateway.placement.workers import Lease, WorkerHandle, WorkerLost, WorkerRegistry, WorkerState
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import (
    BecameReady,
    CloseConnection,
    Command,
    LeaseMessage,
    Migrated,
    ReleaseSlot,
    RequestSlot,
    SendToWorker,
)
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.sessions.session import Session
from gateway.sessions.state import SETTLED, IllegalTransitionError, State
from gateway.transport.worker_link import WorkerLink
from shared import logs
from shared import messages as m
from shared.errors import NoCapacityError, SessionError

log = logs.get("gateway.session_manager")

FromLease = m.Opened | m.NoFreeSlot | m.Hypothesis | m.Finished | m.StreamFailed


class Coordinator:
    """Who is served by whom. Whatever a session asks for or a worker says is done before the call returns.

    What sessions want done goes through one queue, and so do the workers that turn out to be unreachable meanwhile: a
    session's own list is worked off before anything else happens to the session.

    Args:
        name: this life of the gateway, told to workers.
        link: the socket to the workers.
        pool: workers and leases.
        observers: are told what happens.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, link: WorkerLink, workers: WorkerRegistry, observers: Observers, clock: Callable[[], float]
    ) -> None:
        self.leases: LeaseTable[ClientSession] = LeaseTable(workers)
        self._name = name
        self._link = link
        self._workers = workers
        self._observers = observers
        self._clock = clock
        self._rebalancer = Rebalancer(workers, self.leases, clock())
        self._assigning = False
        self._queue: deque[tuple[ClientSession, Command]] = deque()
        self._unreachable: deque[bytes] = deque()
        self._touched: dict[str, ClientSession] = {}
        self._draining = False
        self._blamed: dict[str, tuple[bytes, list[Session]]] = {}  # by worker: who is blamed for its silence

    # --- what sessions ask for ------------------------------------------------------------------------------

    def execute(self, client: ClientSession, commands: Sequence[Command]) -> None:
        """Do what a session wants done, in order; what that leads to comes behind it."""
        self._touched[client.session.id] = client
        self._queue.extend((client, command) for command in commands)
        if self._draining:
            return
        self._draining = True
        self._drain()
        self._draining = False
        touched, self._touched = self._touched, {}
        for each in touched.values():
            each.notify_writer()

    def _drain(self) -> None:
        while self._queue or self._unreachable:
            try:
                if self._queue:
                    self._execute_one(*self._queue.popleft())
                else:
                    self._revoke_worker(self._workers.mark_lost(self._unreachable.popleft(), "cannot be reached"))
            except Exception:  # one session's failure must not take from the others what they wait for
                log.exception("an action failed", event_id="action_failed")

    def _execute_one(self, client: ClientSession, command: Command) -> None:
        match command:
            case SendToWorker(message):
                self._send_to_worker(message)
            case RequestSlot(avoid):
                self._request_slot(client, avoid)
            case ReleaseSlot(lease, close):
                self._release(lease, close=close)
            case BecameReady(load_ms):
                self._tell_ready(client, load_ms)
            case Migrated(gap_s, from_gpu, cause):
                gpu_id = client.session.gpu_id
                self._tell(events.SessionMigrated(client.session.id, from_gpu, gpu_id, cause, gap_s, time.time()))
            case CloseConnection():
                client.close_after_flush(command)
            case _:
                assert_never(command)

    def _tell(self, event: events.Event) -> None:
        self._observers.observe(event)

    def _tell_ready(self, client: ClientSession, worker_ms: float) -> None:
        session, now = client.session, self._clock()
        if session.gpu_id is None or client.leased_at is None:
            raise IllegalTransitionError("A session without a slot has become ready")
        total_ms = (now - client.requested_at) * 1000
        load_ms = (now - client.leased_at) * 1000
        allocate_ms = total_ms - load_ms - client.accept_ms
        self._tell(
            events.SessionReady(
                session.id, session.gpu_id, client.accept_ms, allocate_ms, load_ms, total_ms, worker_ms, now
            )
        )

    def _send_to_worker(self, message: LeaseMessage) -> None:
        worker = self._workers.worker_of(message.lease)
        # A lease can go before its messages are sent: its successor has been told everything.
        if worker is not None and not self._link.send(worker.identity, message):
            self._unreachable.append(worker.identity)

    def _request_slot(self, client: ClientSession, avoid: str | None) -> None:
        session, newcomer = client.session, client.leased_at is None
        if session.state is not State.WAITING:
            return  # it has ended since it asked
        lease = self.leases.acquire(client, self._clock(), avoid=avoid)
        self.leases.leave_queue(client)
        if lease is not None:
            self._assign(client, lease)
        elif not self.leases.enqueue(client, newcomer=newcomer):
            self._tell(events.NoSlotFree(session.id))
            self.execute(client, session.rejected(no_capacity()))
        elif not newcomer:
            session.on_queued()

    def _assign(self, client: ClientSession, lease: Lease) -> None:
        session, now = client.session, self._clock()
        allocate_ms = None
        if client.leased_at is None:
            client.leased_at = now
            allocate_ms = (now - client.requested_at) * 1000 - client.accept_ms
        self._tell(events.SlotLeased(session.id, lease.gpu_id, lease.id, allocate_ms))
        self.execute(client, session.on_lease(lease.id, lease.gpu_id, now))
        worker = self._workers.worker_of(lease.id)
        if worker is None or worker.registration is None:
            return
        try:
            client.options.check(worker.registration.languages, worker.registration.model)
        except SessionError as error:
            self.execute(client, session.stop(error))

    def _release(self, lease: int, *, close: bool) -> None:
        worker = self._revoke(lease)
        if worker is not None and close:
            self._link.send(worker.identity, m.Close(lease))
        self._assign_waiting()

    def _revoke(self, lease: int, *, full: bool = False) -> WorkerHandle | None:
        found = self.leases.release(lease, self._clock(), full=full)
        if found is None:
            return None
        client, worker = found
        self._tell(events.SlotReleased(client.session.id, worker.gpu_id, lease))
        return worker

    def _assign_waiting(self) -> None:
        if self._assigning:
            return  # a slot that comes free while the line is served is for those further back in it
        self._assigning = True
        try:
            for client, lease in self.leases.assign_waiting(self._clock()):
                self._assign(client, lease)
        finally:
            self._assigning = False

    # --- what workers say -----------------------------------------------------------------------------------

    def on_worker_message(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        match message:
            case m.Register():
                self._register(identity, message)
            case m.Heartbeat():
                self._heartbeat(identity, message)
            case m.Goodbye(reason):
                self._revoke_worker(self._workers.mark_lost(identity, reason, died=False))
            case m.Opened() | m.NoFreeSlot() | m.Hypothesis() | m.Finished() | m.StreamFailed():
                found = self.leases.find(message.lease)
                # Anything else is about a lease that was given back or revoked.
                if found is not None and found[1].identity == identity:
                    self._on_lease_message(*found, message)
            case _:
                log.warning("a worker sent an odd message", event_id="odd_message", kind=type(message).__name__)

    def _register(self, identity: bytes, facts: m.Register) -> None:
        try:
            before = self._workers.register(identity, facts, self._clock())
        except ValueError as error:
            self._tell(events.WorkerRefused(facts.worker, str(error)))
            return
        self._link.send(identity, m.Welcome(self._name))
        self._tell(events.WorkerRegistered(facts))
        missed, blamed = self._blamed.pop(facts.worker, (b"", []))
        for session in blamed if missed == identity else []:
            session.poison.retract(facts.worker)
        self._revoke_worker(before)
        self._assign_waiting()

    def _heartbeat(self, identity: bytes, beat: m.Heartbeat) -> None:
        was_draining = self._is_draining(identity)
        known = self._workers.heartbeat(identity, beat, self._clock())
        # A worker that was lost for its endless step, or load, comes back when that has ended.
        welcome = known or self._workers.still_failing(identity, beat)
        self._link.send(identity, m.Welcome(self._name) if welcome else m.Identify(self._name))
        worker = self._workers.by_identity(identity)
        if worker is None:
            return
        self._tell(events.HeartbeatReceived(worker.name, worker.boot, worker.gpu_id, beat))
        if not was_draining and self._is_draining(identity):
            self._tell(events.WorkerDraining(worker.gpu_id))
        held = {slot.lease for slot in beat.slots if slot.ours}
        for lease in held - worker.leases.keys():
            # Nobody has it: a broken connection may have swallowed that it was to be closed.
            self._link.send(identity, m.Close(lease))
        for lease in [each for each in worker.leases if each not in held]:
            found = self.leases.find(lease)
            # What a worker has opened it reports until it has said how that ended; else it lost it.
            if found and found[0].session.lease == lease and found[0].session.state in SETTLED:
                self._revoke(lease)
                self._session_lost(*found, "the worker has forgotten it", "forgotten", blame=False)

    def _is_draining(self, identity: bytes) -> bool:
        worker = self._workers.by_identity(identity)
        return worker is not None and worker.state is WorkerState.DRAINING

    def _on_lease_message(self, client: ClientSession, worker: WorkerHandle, message: FromLease) -> None:
        session, now = client.session, self._clock()
        if message.lease == session.migration_lease:
            self._on_migration_message(client, worker, message)
            return
        match message:
            case m.Opened(_, load_ms):
                self.execute(client, session.on_opened(load_ms, now))
            case m.Hypothesis():
                worker.failures, before = 0, session.decoded
                self.execute(client, session.on_hypothesis(message, now))
                if not client.ended:
                    self._tell(events.StepTaken(session.id, worker.gpu_id, message, before, client.arrival_times, now))
                    client.arrival_times.forget(message.keep_from)
            case m.Finished():
                self.execute(client, session.on_finished(message))
                if client.flush_requested_at is not None and session.outcome == "complete":
                    self._tell(events.SessionFlushed(session.id, worker.gpu_id, now - client.flush_requested_at, now))
            case m.NoFreeSlot(lease):
                self._revoke(lease, full=True)
                self._session_lost(client, worker, "the worker was full", "full", blame=False)
            case m.StreamFailed(lease, reason):
                worker.failures += 1
                self._revoke(lease)
                self._session_lost(client, worker, reason, "stream_failed")
            case _:
                assert_never(message)

    def _on_migration_message(self, client: ClientSession, worker: WorkerHandle, message: FromLease) -> None:
        if isinstance(message, m.Opened):
            self.execute(client, client.session.on_prepared(worker.gpu_id, self._clock()))
        else:
            self._revoke(message.lease, full=isinstance(message, m.NoFreeSlot))
            self.execute(client, client.session.on_migration_lost())

    # --- losses ---------------------------------------------------------------------------------------------

    def _session_lost(
        self, client: ClientSession, worker: WorkerHandle, reason: str, cause: str, *, blame: bool = True
    ) -> None:
        session = client.session
        commands = session.on_lost(reason, self._clock(), worker=worker.name, cause=cause, blame=blame)
        self._tell(events.StreamLost(session.id, worker.name, cause, reason))
        self.execute(client, commands)

    def _revoke_worker(self, lost: WorkerLost | None) -> None:
        """A worker is gone: find its sessions other slots."""
        if lost is None:
            return
        self._tell(lost)
        blamed: list[Session] = []
        # A process that has ended cannot be reached. One that is only silent, or in a long step, still has its socket.
        hears = lost.died and self._link.send(lost.identity, m.Welcome(self._name))
        for lease, client in self.leases.pop_all(lost):
            session = client.session
            self._tell(events.SlotReleased(session.id, lost.gpu_id, lease))
            if lease == session.migration_lease:
                self.execute(client, session.on_migration_lost())
                continue
            commands = session.on_lost(
                lost.reason,
                self._clock(),
                worker=lost.worker,
                heard=lost.last_seen,
                blame=lost.died,
                died=not hears,
            )
            if hears and lost.silent and lost.worker in session.poison.workers:
                blamed.append(session)
            self.execute(client, commands)
        self._blamed[lost.worker] = (lost.identity, blamed)

    def abandon_opening(self, client: ClientSession, lease: int) -> None:
        """A worker does not get ready for a session: if it is its load that does not end, all its sessions leave it."""
        worker, limit_s = self._workers.worker_of(lease), client.limits.open_wait_s
        if worker is None:
            return
        if worker.heartbeat and worker.heartbeat.weights == "loading":
            self._revoke_worker(self._workers.mark_load_overdue(worker, limit_s))
            return
        self._link.send(worker.identity, m.Close(lease))
        self._revoke(lease)
        if lease == client.session.migration_lease:
            self.execute(client, client.session.on_migration_lost())
        else:
            self._session_lost(client, worker, f"not ready within {limit_s:g} s", "not_ready")

    # --- time -----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Take out the workers that are silent or stuck."""
        for lost in self._workers.expire(now):
            self._revoke_worker(lost)

    def rebalance(self, now: float) -> None:
        """Serve those in line, empty the workers that drain, even out the loads."""
        self._assign_waiting()
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
        self._tell(events.MigrationStarted(session.id, reason, source.gpu_id, lease.gpu_id))
        self._tell(events.SlotLeased(session.id, lease.gpu_id, lease.id, None))
        self.execute(client, session.migrate(lease.id, reason, self._clock()))
        return True


def no_capacity() -> SessionError:
    """Return the error of a client for whom there is no slot."""
    return NoCapacityError("No GPU resources available", retry_after_s=RETRY_AFTER_S)

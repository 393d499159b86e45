"""Joins sessions and workers (shell): performs what sessions ask for, and hands them what workers say."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.auth.client_auth import check_language
from gateway.monitoring.log_observer import Records
from gateway.placement.leases import Placement
from gateway.placement.rebalancer import Balance
from gateway.placement.workers import Grant, Lost, Pool, Worker
from gateway.sessions.client_session import Conversation
from gateway.sessions.commands import Action, Hangup, Lease, Moved, Ready, Release, Tell, ToLease
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.sessions.session import Session
from gateway.sessions.state import SETTLED, State
from gateway.transport.worker_link import Link
from shared import logs
from shared import messages as m
from shared.errors import NoCapacityError, SessionError

log = logs.get("gateway.session_manager")

FromLease = m.Opened | m.Full | m.Hypothesis | m.Finished | m.StreamFailed


class Dispatcher:
    """Who is served by whom. Whatever a session asks for or a worker says is done before the call returns.

    What sessions want done goes through one queue, and so do the workers that turn out to be unreachable meanwhile: a
    session's own list is worked off before anything else happens to the session.

    Args:
        name: this life of the gateway, told to workers.
        link: the socket to the workers.
        pool: workers and leases.
        records: what is written down.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, link: Link, pool: Pool, records: Records, clock: Callable[[], float]) -> None:
        self.placement: Placement[Conversation] = Placement(pool)
        self._name = name
        self._link = link
        self._pool = pool
        self._records = records
        self._clock = clock
        self._balance = Balance(pool, self.placement, clock())
        self._serving = False
        self._queue: deque[tuple[Conversation, Action]] = deque()
        self._unreachable: deque[bytes] = deque()
        self._touched: dict[str, Conversation] = {}
        self._draining = False
        self._missed: dict[str, tuple[bytes, list[Session]]] = {}  # by worker: who is blamed for its silence

    # --- what sessions ask for ------------------------------------------------------------------------------

    def perform(self, conversation: Conversation, actions: Sequence[Action]) -> None:
        """Do what a session wants done, in order; what that leads to comes behind it."""
        self._touched[conversation.session.id] = conversation
        self._queue.extend((conversation, action) for action in actions)
        if self._draining:
            return
        self._draining = True
        self._drain()
        self._draining = False
        touched, self._touched = self._touched, {}
        for each in touched.values():
            each.notify()

    def _drain(self) -> None:
        while self._queue or self._unreachable:
            try:
                if self._queue:
                    self._do(*self._queue.popleft())
                else:
                    self._lose(self._pool.gone(self._unreachable.popleft(), "cannot be reached"))
            except Exception:  # one session's failure must not take from the others what they wait for
                log.exception("an action failed", event_id="action_failed")

    def _do(self, conversation: Conversation, action: Action) -> None:
        match action:
            case Tell(message):
                self._tell(message)
            case Lease(avoid):
                self._place(conversation, avoid)
            case Release(lease, close):
                self._release(lease, close=close)
            case Ready(load_ms):
                self._records.ready(conversation, load_ms, self._clock())
            case Moved():
                self._records.moved(conversation, action)
            case Hangup():
                conversation.hang_up(action)
            case _:
                assert_never(action)

    def _tell(self, message: ToLease) -> None:
        worker = self._pool.holder(message.lease)
        # A lease can go before its messages are sent: its successor has been told everything.
        if worker is not None and not self._link.send(worker.identity, message):
            self._unreachable.append(worker.identity)

    def _place(self, conversation: Conversation, avoid: str | None) -> None:
        session, newcomer = conversation.session, conversation.allocated is None
        if session.state is not State.WAITING:
            return  # it has ended since it asked
        grant = self.placement.lease(conversation, self._clock(), avoid=avoid)
        self.placement.step_out(conversation)
        if grant is not None:
            self._grant(conversation, grant)
        elif not self.placement.queue(conversation, newcomer=newcomer):
            self._records.no_slot(session.id)
            self.perform(conversation, session.unplaced(no_capacity()))
        elif not newcomer:
            session.queued()

    def _grant(self, conversation: Conversation, grant: Grant) -> None:
        session, now = conversation.session, self._clock()
        first = conversation.allocated is None
        if first:
            conversation.allocated = now
        self._records.allocated(conversation, grant, first=first)
        self.perform(conversation, session.granted(grant.lease, grant.gpu_id, now))
        worker = self._pool.holder(grant.lease)
        if worker is None or worker.facts is None:
            return
        try:
            check_language(conversation.parameters, worker.facts.languages, worker.facts.model)
        except SessionError as error:
            self.perform(conversation, session.stop(error))

    def _release(self, lease: int, *, close: bool) -> None:
        worker = self._revoke(lease)
        if worker is not None and close:
            self._link.send(worker.identity, m.Close(lease))
        self._serve_line()

    def _revoke(self, lease: int, *, full: bool = False) -> Worker | None:
        found = self.placement.give_back(lease, self._clock(), full=full)
        if found is None:
            return None
        conversation, worker = found
        self._records.released(conversation.session.id, worker.gpu_id, lease)
        return worker

    def _serve_line(self) -> None:
        if self._serving:
            return  # a slot that comes free while the line is served is for those further back in it
        self._serving = True
        try:
            for conversation, grant in self.placement.serve(self._clock()):
                self._grant(conversation, grant)
        finally:
            self._serving = False

    # --- what workers say -----------------------------------------------------------------------------------

    def handle(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        match message:
            case m.Register():
                self._register(identity, message)
            case m.Heartbeat():
                self._heartbeat(identity, message)
            case m.Goodbye(reason):
                self._lose(self._pool.gone(identity, reason, died=False))
            case m.Opened() | m.Full() | m.Hypothesis() | m.Finished() | m.StreamFailed():
                found = self.placement.find(message.lease)
                # Anything else is about a lease that was given back or revoked.
                if found is not None and found[1].identity == identity:
                    self._about_lease(*found, message)
            case _:
                log.warning("a worker sent an odd message", event_id="odd_message", kind=type(message).__name__)

    def _register(self, identity: bytes, facts: m.Register) -> None:
        try:
            before = self._pool.register(identity, facts, self._clock())
        except ValueError as error:
            self._records.worker_refused(facts.worker, str(error))
            return
        self._link.send(identity, m.Welcome(self._name))
        self._records.worker_registered(facts)
        missed, blamed = self._missed.pop(facts.worker, (b"", []))
        for session in blamed if missed == identity else []:
            session.suspicion.pardon(facts.worker)
        self._lose(before)
        self._serve_line()

    def _heartbeat(self, identity: bytes, beat: m.Heartbeat) -> None:
        known = self._pool.heartbeat(identity, beat, self._clock())
        # A worker that was lost for its endless step, or load, comes back when that has ended.
        welcome = known or self._pool.goes_on(identity, beat)
        self._link.send(identity, m.Welcome(self._name) if welcome else m.Identify(self._name))
        worker = self._pool.by_identity(identity)
        if worker is None:
            return
        held = {slot.lease for slot in beat.slots if slot.ours}
        for lease in held - worker.leases.keys():
            # Nobody has it: a broken connection may have swallowed that it was to be closed.
            self._link.send(identity, m.Close(lease))
        for lease in [each for each in worker.leases if each not in held]:
            found = self.placement.find(lease)
            # What a worker has opened it reports until it has said how that ended; else it lost it.
            if found and found[0].session.lease == lease and found[0].session.state in SETTLED:
                self._revoke(lease)
                self._session_lost(*found, "the worker has forgotten it", "forgotten", blame=False)

    def _about_lease(self, conversation: Conversation, worker: Worker, message: FromLease) -> None:
        session, now = conversation.session, self._clock()
        if message.lease == session.standby:
            self._about_standby(conversation, worker, message)
            return
        match message:
            case m.Opened(_, load_ms):
                self.perform(conversation, session.opened(load_ms, now))
            case m.Hypothesis():
                worker.failures, before = 0, session.decoded
                self.perform(conversation, session.hypothesis(message, now))
                if not conversation.over:
                    self._records.recognized(conversation, message, before, worker.gpu_id, now)
                    conversation.arrivals.forget(message.keep_from)
            case m.Finished():
                self.perform(conversation, session.finished(message))
                self._records.flushed(conversation, worker.gpu_id, now)
            case m.Full(lease):
                self._revoke(lease, full=True)
                self._session_lost(conversation, worker, "the worker was full", "full", blame=False)
            case m.StreamFailed(lease, reason):
                worker.failures += 1
                self._revoke(lease)
                self._session_lost(conversation, worker, reason, "stream_failed")
            case _:
                assert_never(message)

    def _about_standby(self, conversation: Conversation, worker: Worker, message: FromLease) -> None:
        if isinstance(message, m.Opened):
            self.perform(conversation, conversation.session.prepared(worker.gpu_id, self._clock()))
        else:
            self._revoke(message.lease, full=isinstance(message, m.Full))
            self.perform(conversation, conversation.session.standby_lost())

    # --- losses ---------------------------------------------------------------------------------------------

    def _session_lost(
        self, conversation: Conversation, worker: Worker, reason: str, cause: str, *, blame: bool = True
    ) -> None:
        session = conversation.session
        actions = session.lost(reason, self._clock(), worker=worker.name, cause=cause, blame=blame)
        self._records.stream_lost(session.id, worker.name, cause, reason)
        self.perform(conversation, actions)

    def _lose(self, lost: Lost | None) -> None:
        """A worker is gone: find its sessions other slots."""
        if lost is None:
            return
        self._records.worker_lost(lost)
        blamed: list[Session] = []
        # A process that has ended cannot be reached. One that is only silent, or in a long step, still has its socket.
        hears = lost.died and self._link.send(lost.identity, m.Welcome(self._name))
        for lease, conversation in self.placement.bereave(lost):
            session = conversation.session
            self._records.released(session.id, lost.gpu_id, lease)
            if lease == session.standby:
                self.perform(conversation, session.standby_lost())
                continue
            actions = session.lost(
                lost.reason,
                self._clock(),
                worker=lost.worker,
                heard=lost.heard,
                blame=lost.died,
                died=not hears,
            )
            if hears and lost.silent and lost.worker in session.suspicion.workers:
                blamed.append(session)
            self.perform(conversation, actions)
        self._missed[lost.worker] = (lost.identity, blamed)

    def give_up(self, conversation: Conversation, lease: int) -> None:
        """A worker does not get ready for a session: if it is its load that does not end, all its sessions leave it."""
        worker, limit_s = self._pool.holder(lease), conversation.bounds.open_wait_s
        if worker is None:
            return
        if worker.beat and worker.beat.weights == "loading":
            self._lose(self._pool.endless_load(worker, limit_s))
            return
        self._link.send(worker.identity, m.Close(lease))
        self._revoke(lease)
        if lease == conversation.session.standby:
            self.perform(conversation, conversation.session.standby_lost())
        else:
            self._session_lost(conversation, worker, f"not ready within {limit_s:g} s", "not_ready")

    # --- time -----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Take out the workers that are silent or stuck."""
        for lost in self._pool.expire(now):
            self._lose(lost)

    def tidy(self, now: float) -> None:
        """Serve those in line, empty the workers that drain, even out the loads."""
        self._serve_line()
        for worker in self._pool.draining():
            for conversation in self._balance.movable(worker):
                if self._pool.with_room():
                    self._hand_over(conversation, "drain", worker)
        for conversation, worker in self._balance.evening(now):
            if self._hand_over(conversation, "balance", worker):
                break

    def _hand_over(self, conversation: Conversation, reason: str, source: Worker) -> bool:
        session = conversation.session
        grant = self.placement.lease_elsewhere(conversation, source, self._clock())
        if grant is None:
            return False
        self._records.handing_over(session.id, reason, source.gpu_id, grant.gpu_id)
        self._records.allocated(conversation, grant, first=False)
        self.perform(conversation, session.prepare(grant.lease, reason, self._clock()))
        return True


def no_capacity() -> SessionError:
    """Return the error of a client for whom there is no slot."""
    return NoCapacityError("No GPU resources available", retry_after_s=RETRY_AFTER_S)

"""Joins sessions and workers: performs what sessions ask for, and hands them what workers say.

The shell around `gateway.pool` and `gateway.session`: it owns the clock and the link.
"""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.actions import Action, Hangup, Lease, Moved, Ready, Release, Tell, ToLease
from gateway.admission import check_language
from gateway.conversation import Conversation
from gateway.link import Link
from gateway.patience import RETRY_AFTER_S
from gateway.pool import Grant, Lost, Pool, Worker
from gateway.session import Session
from gateway.states import SETTLED, State
from gateway.statistics import Queues, Statistics
from gateway.witness import Witness
from shared import logs
from shared import messages as m
from shared.errors import NoCapacityError, ServiceRestartError, SessionError

log = logs.get("gateway.switchboard")

TICK_S = 0.1
BALANCE_EVERY_S = 2.0
"""Loads are evened out by one session at a time, no oftener than this, ..."""
IMPATIENT_S = 10.0
"""... in a pause of its speech, or anyway after this long."""

FromLease = m.Opened | m.Full | m.Hypothesis | m.Finished | m.StreamFailed


class Switchboard:
    """All sessions of this gateway and their workers.

    Args:
        name: this life of the gateway, told to workers.
        link: the socket to the workers.
        pool: workers and leases.
        statistics: the counters.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        pool: Pool,
        statistics: Statistics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pool = pool
        self.statistics = statistics
        self.records = Witness(statistics, clock)
        self.clock = clock
        self.stopping = False
        self.loop_lag_s = 0.0
        self._name = name
        self._link = link
        self._conversations: dict[str, Conversation] = {}
        self._by_lease: dict[int, Conversation] = {}
        self._line: list[Conversation] = []
        self._missed: dict[str, tuple[bytes, list[Session]]] = {}  # by worker: who is blamed for its silence
        self._uneven_since: float | None = None
        self._balanced_at = clock()
        self._empty = asyncio.Event()
        self._empty.set()

    # --- clients --------------------------------------------------------------------------------------------

    def join(self, conversation: Conversation) -> None:
        """Take in a new session and look for a slot."""
        self._conversations[conversation.session.id] = conversation
        self._empty.clear()
        self.perform(conversation, conversation.session.begin())

    def find(self, resume_token: str, owner: str | None) -> Conversation | None:
        """Return the conversation that this token resumes, if the same client asks for it."""
        for conversation in self._conversations.values():
            if hmac.compare_digest(conversation.resume_token.encode(), resume_token.encode()):
                return conversation if conversation.owner == owner else None
        return None

    def leave(self, conversation: Conversation, *, for_good: bool) -> None:
        """The client's socket is gone; unless it closed it itself, the session waits a while for the next one."""
        session = conversation.session
        conversation.socket = None
        if for_good or not session.was_ready:
            self.perform(conversation, session.disconnected())
            self._forget(conversation)
        else:
            self.perform(conversation, session.detached(self.clock()))

    def _forget(self, conversation: Conversation) -> None:
        if self._conversations.pop(conversation.session.id, None) is None:
            return
        self.records.closed(conversation, self.clock())
        if not self._conversations:
            self._empty.set()

    @property
    def sessions(self) -> int:
        """Return how many sessions are here."""
        return len(self._conversations)

    @property
    def conversations(self) -> list[Conversation]:
        """Return every conversation, those whose client is away too."""
        return list(self._conversations.values())

    @property
    def waiting(self) -> list[str]:
        """Return the sessions that wait for a slot."""
        return self._in_state(State.WAITING)

    @property
    def graced(self) -> list[str]:
        """Return the sessions without a slot whose client is away and may come back."""
        return self._in_state(State.PARKED)

    def _in_state(self, state: State) -> list[str]:
        return [name for name, each in self._conversations.items() if each.session.state is state]

    @property
    def queues(self) -> Queues:
        """Return what waits here now."""
        conversations = self._conversations.values()
        sessions = [each.session for each in conversations]
        return Queues(
            sessions={state.value: sum(each.state is state for each in sessions) for state in State},
            line=len(self._line),
            unsent=sum(each.outbox.waiting for each in conversations),
            journal=sum(each.journal.end - each.journal.start for each in sessions),
            held_back=sum(each.full for each in sessions),
            noise=self._link.noise,
        )

    # --- what sessions ask for ------------------------------------------------------------------------------

    def perform(self, conversation: Conversation, actions: Sequence[Action]) -> None:
        """Do what a session wants done, in order."""
        for action in actions:
            match action:
                case Tell(message):
                    self._tell(message)
                case Lease(avoid):
                    self._place(conversation, avoid)
                case Release(lease, close):
                    self._release(lease, close=close)
                case Ready(load_ms):
                    self.records.ready(conversation, load_ms, self.clock())
                case Moved():
                    self.records.moved(conversation, action)
                case Hangup():
                    conversation.hang_up(action)
                case _:
                    assert_never(action)
        conversation.notify()

    def _tell(self, message: ToLease) -> None:
        worker = self.pool.holder(message.lease)
        # A lease can go while earlier actions are performed: its successor has been told everything.
        if worker is not None and not self._link.send(worker.identity, message):
            self._worker_lost(self.pool.gone(worker.identity, "cannot be reached"))

    def _place(self, conversation: Conversation, avoid: str | None) -> None:
        session = conversation.session
        grant = self._find_slot(session, avoid)
        had_one = conversation.allocated is not None
        self._line = [each for each in self._line if each.session.state is State.WAITING and each is not conversation]
        if grant is not None:
            self._grant(conversation, grant)
        elif had_one and len(self._line) < self.pool.known_slots():
            self._line.append(conversation)
            session.queued()
        elif had_one or self.pool.ever_served:
            self.records.no_slot(session.id)
            self.perform(conversation, session.unplaced(no_capacity()))
        else:
            self._line.append(conversation)

    def _find_slot(self, session: Session, avoid: str | None = None) -> Grant | None:
        """Lease a slot; two sessions that may be killing their workers are kept apart.

        Not at any price, but never so that one which will be ended by the next death shares it with another suspect:
        it would pay for that one's.
        """
        shunned, barred = session.suspicion.workers | ({avoid} if avoid else set()), frozenset[str]()
        if session.suspicion.present:
            held = [(self.pool.holder(lease), each.session) for lease, each in self._by_lease.items()]
            suspects = {worker.name for worker, each in held if worker is not None and each.suspicion.present}
            trials = {worker.name for worker, each in held if worker is not None and each.suspicion.on_trial}
            shunned, barred = shunned | suspects, frozenset(suspects if session.suspicion.on_trial else trials)
            # Its last chance is better spent, even if it has to wait, where it has not failed yet.
            untried = {worker.name for worker in self.pool.with_room()} - session.suspicion.workers
            if session.suspicion.on_trial and untried:
                barred |= session.suspicion.workers
        hurry = session.was_ready  # somebody is speaking
        return self.pool.place(session.id, self.clock(), avoid=shunned, barred=barred, hurry=hurry)

    def _grant(self, conversation: Conversation, grant: Grant) -> None:
        session, now = conversation.session, self.clock()
        self._by_lease[grant.lease] = conversation
        self.records.allocated(conversation, grant, now)
        self.perform(conversation, session.granted(grant.lease, grant.gpu_id, now))
        worker = self.pool.holder(grant.lease)
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
        conversation = self._by_lease.pop(lease, None)
        worker = self.pool.refused(lease, self.clock()) if full else self.pool.release(lease)
        if conversation is not None and worker is not None:
            self.records.released(conversation.session.id, worker.gpu_id, lease)
        return worker

    def _serve_line(self) -> None:
        """Give free slots to those who wait, in order; one that may not share a worker lets the next one go first."""
        for conversation in list(self._line):
            if conversation not in self._line:
                continue  # served, or gone, while another was
            grant = self._find_slot(conversation.session) if conversation.session.state is State.WAITING else None
            if grant is not None or conversation.session.state is not State.WAITING:
                self._line.remove(conversation)
            if grant is not None:
                self._grant(conversation, grant)

    # --- what workers say -----------------------------------------------------------------------------------

    def handle(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        match message:
            case m.Register():
                self._register(identity, message)
            case m.Heartbeat():
                self._heartbeat(identity, message)
            case m.Goodbye(reason):
                self._worker_lost(self.pool.gone(identity, reason, died=False))
            case m.Opened() | m.Full() | m.Hypothesis() | m.Finished() | m.StreamFailed():
                conversation, worker = self._by_lease.get(message.lease), self.pool.holder(message.lease)
                # Anything else is about a lease that was given back or revoked.
                if conversation is not None and worker is not None and worker.identity == identity:
                    self._about_lease(conversation, worker, message)
            case _:
                log.warning("a worker sent an odd message", event_id="odd_message", kind=type(message).__name__)

    def _heartbeat(self, identity: bytes, beat: m.Heartbeat) -> None:
        known = self.pool.heartbeat(identity, beat, self.clock())
        # A worker that was lost for its endless step, or load, comes back when that has ended.
        welcome = known or self.pool.goes_on(identity, beat)
        self._link.send(identity, m.Welcome(self._name) if welcome else m.Identify(self._name))
        worker = self.pool.by_identity(identity)
        if worker is None:
            return
        held = {slot.lease for slot in beat.slots if slot.ours}
        for lease in [each for each in worker.leases if each not in held]:
            conversation = self._by_lease.get(lease)
            # What a worker has opened it reports until it has said how that ended; else it lost it.
            if conversation and conversation.session.lease == lease and conversation.session.state in SETTLED:
                self._revoke(lease)
                self._session_lost(conversation, worker, "the worker has forgotten it", "forgotten", blame=False)

    def _session_lost(
        self, conversation: Conversation, worker: Worker, reason: str, cause: str, *, blame: bool = True
    ) -> None:
        session = conversation.session
        actions = session.lost(reason, self.clock(), worker=worker.name, cause=cause, blame=blame)
        self.records.stream_lost(session.id, worker.name, cause, reason)
        self.perform(conversation, actions)

    def _about_lease(self, conversation: Conversation, worker: Worker, message: FromLease) -> None:
        session, now = conversation.session, self.clock()
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
                    self.records.recognized(conversation, message, before, worker.gpu_id, now)
            case m.Finished():
                self.perform(conversation, session.finished(message))
                self.records.flushed(conversation, worker.gpu_id, now)
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
            self.perform(conversation, conversation.session.prepared(worker.gpu_id, self.clock()))
        else:
            self._revoke(message.lease, full=isinstance(message, m.Full))
            self.perform(conversation, conversation.session.standby_lost())

    def _register(self, identity: bytes, facts: m.Register) -> None:
        try:
            before = self.pool.register(identity, facts, self.clock())
        except ValueError as error:
            self.records.worker_refused(facts.worker, str(error))
            return
        self._link.send(identity, m.Welcome(self._name))
        self.records.worker_registered(facts)
        missed, blamed = self._missed.pop(facts.worker, (b"", []))
        for session in blamed if missed == identity else []:
            session.suspicion.pardon(facts.worker)
        self._worker_lost(before)
        self._serve_line()

    def _worker_lost(self, lost: Lost | None) -> None:
        if lost is None:
            return
        self.records.worker_lost(lost)
        blamed: list[Session] = []
        # A process that has ended cannot be reached. One that is only silent, or in a long step, still has its socket.
        hears = lost.died and self._link.send(lost.identity, m.Welcome(self._name))
        for lease, _ in lost.leases:
            conversation = self._by_lease.pop(lease, None)
            if conversation is None:
                continue
            session = conversation.session
            self.records.released(session.id, lost.gpu_id, lease)
            if lease == session.standby:
                self.perform(conversation, session.standby_lost())
            else:
                actions = session.lost(
                    lost.reason,
                    self.clock(),
                    worker=lost.worker,
                    heard=lost.heard,
                    blame=lost.died,
                    died=not hears,
                )
                if hears and lost.silent and lost.worker in session.suspicion.workers:
                    blamed.append(session)
                self.perform(conversation, actions)
        self._missed[lost.worker] = (lost.identity, blamed)

    # --- moving on purpose ----------------------------------------------------------------------------------

    def _hand_over(self, conversation: Conversation, reason: str, source: Worker) -> bool:
        session = conversation.session
        grant = self.pool.place(session.id, self.clock(), avoid={source.name})
        if grant is None:
            return False
        if grant.worker == source.name:
            self.pool.release(grant.lease)
            return False
        self._by_lease[grant.lease] = conversation
        self.records.handing_over(session.id, reason, source.gpu_id, grant.gpu_id)
        self.records.allocated(conversation, grant, self.clock())
        self.perform(conversation, session.prepare(grant.lease, reason, self.clock()))
        return True

    def _movable(self, worker: Worker) -> list[Conversation]:
        held = [self._by_lease[lease] for lease in worker.leases if lease in self._by_lease]
        return [each for each in held if each.session.standby is None and each.session.state in SETTLED]

    def _empty_draining(self) -> None:
        for worker in self.pool.draining():
            for conversation in self._movable(worker):
                if not self._hand_over(conversation, "drain", worker):
                    break

    def _balance(self, now: float) -> None:
        worker = self.pool.uneven()
        if worker is None or self._line or any(each.session.standby for each in self._conversations.values()):
            self._uneven_since = None
            return
        self._uneven_since = now if self._uneven_since is None else self._uneven_since
        if now - self._balanced_at < BALANCE_EVERY_S:
            return
        movable = [each for each in self._movable(worker) if each.session.state is State.READY]
        pausing = [each for each in movable if each.session.pausing]
        if not pausing and now - self._uneven_since >= IMPATIENT_S:
            pausing = movable
        if pausing:
            self._balanced_at = now
            self._hand_over(pausing[0], "balance", worker)

    # --- time -----------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Hand on workers' messages for ever."""
        while True:
            identity, message = await self._link.receive()
            try:
                self.handle(identity, message)
            except Exception:  # the top of a shell's loop: one bad message must not stop the others
                log.exception("a worker's message failed", event_id="handler_failed", kind=type(message).__name__)

    async def tick(self) -> None:
        """Enforce the bounds of time for ever."""
        before = self.clock()
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock()
            self.loop_lag_s = max(0.0, now - before - TICK_S)
            self.statistics.loop_lag_s.observe(self.loop_lag_s)
            try:
                self.ticked(now)
            except Exception:  # the top of a shell's loop
                log.exception("a tick failed", event_id="tick_failed")
            before = now

    def ticked(self, now: float) -> None:
        """Do what time asks for."""
        # Time in which this process did not run is not the workers' silence: their messages wait unread.
        if self.loop_lag_s < 1.0:
            for lost in self.pool.expire(now):
                self._worker_lost(lost)
        for conversation in list(self._conversations.values()):
            self._expire(conversation, now)
            if (
                conversation.over
                and conversation.socket is None
                and (conversation.session.forgotten(now) or self.stopping)
            ):
                self._forget(conversation)
        self._serve_line()
        self._empty_draining()
        self._balance(now)

    def _expire(self, conversation: Conversation, now: float) -> None:
        session, was_over = conversation.session, conversation.over
        lease = session.overdue(now)
        if lease is not None:
            self._give_up(conversation, lease)
        self.perform(conversation, session.expire(now))
        if not was_over and isinstance(session.error, NoCapacityError):
            self.records.no_slot(session.id)

    def _give_up(self, conversation: Conversation, lease: int) -> None:
        """A worker does not get ready for a session: if it is its load that does not end, all its sessions leave it."""
        worker, limit_s = self.pool.holder(lease), conversation.bounds.open_wait_s
        if worker is None:
            return
        if worker.beat and worker.beat.weights == "loading":
            self._worker_lost(self.pool.endless_load(worker, limit_s))
            return
        self._link.send(worker.identity, m.Close(lease))
        self._revoke(lease)
        if lease == conversation.session.standby:
            self.perform(conversation, conversation.session.standby_lost())
        else:
            self._session_lost(conversation, worker, f"not ready within {limit_s:g} s", "not_ready")

    async def drain(self, deadline_s: float) -> None:
        """Flush every session, tell it that the service restarts, and return when all are gone."""
        self.stopping = True
        for conversation in list(self._conversations.values()):
            self.perform(conversation, conversation.session.retire(restarting(), self.clock()))
        await self._empty_within(deadline_s)
        for conversation in list(self._conversations.values()):
            self.perform(conversation, conversation.session.stop(restarting()))
        await self._empty_within(1.0)

    async def _empty_within(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._empty.wait()


def no_capacity() -> SessionError:
    """Return the error of a client for whom there is no slot."""
    return NoCapacityError("No GPU resources available", retry_after_s=RETRY_AFTER_S)


def restarting() -> SessionError:
    """Return the error that ends sessions when the gateway stops."""
    return ServiceRestartError("The service restarts", retry_after_s=RETRY_AFTER_S)

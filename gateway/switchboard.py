"""Joins sessions and workers: performs what sessions ask for, and hands them what workers say.

The shell around `gateway.pool` and `gateway.session`: it owns the clock, the link and the log.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from gateway.actions import Accounts, Action, Hangup, Lease, Ready, Release, Tell
from gateway.admission import Parameters, check_language
from gateway.link import Link
from gateway.monitor import setup
from gateway.pool import Lost, Pool
from gateway.session import Session, State
from gateway.statistics import Ending, Statistics
from shared import logs
from shared import messages as m
from shared.errors import NoCapacityError, RecognitionError, ServiceRestartError, SessionError

log = logs.get("gateway.switchboard")

TICK_S = 0.1
RETRY_AFTER_S = 5.0


class Caller(Protocol):
    """A client's end of a session, as the switchboard sees it."""

    session: Session
    parameters: Parameters
    arrived: float
    accept_ms: float
    allocated: float | None

    def notify(self) -> None:
        """There is something to send, or room to receive."""

    def hang_up(self, hangup: Hangup) -> None:
        """Close the socket once what is queued has been sent."""


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
        self.clock = clock
        self.stopping = False
        self.loop_lag_s = 0.0
        self._name = name
        self._link = link
        self._callers: dict[str, Caller] = {}
        self._by_lease: dict[int, Caller] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    # --- clients --------------------------------------------------------------------------------------------

    def join(self, caller: Caller) -> None:
        """Take in a new session and look for a slot."""
        self._callers[caller.session.id] = caller
        self._empty.clear()
        self.perform(caller, caller.session.begin())

    def leave(self, caller: Caller) -> None:
        """Forget a session whose client's socket is gone, and write its line into the log."""
        session = caller.session
        self.perform(caller, session.disconnected())
        self._callers.pop(session.id, None)
        if not self._callers:
            self._empty.set()
        if session.accounts is not None:
            self._close_books(caller, session.accounts)

    def _close_books(self, caller: Caller, accounts: Accounts) -> None:
        session = caller.session
        outcome = session.error.code if session.error else ("complete" if not accounts.reason else accounts.reason)
        duration_s = self.clock() - caller.arrived
        ending = Ending(outcome, session.was_ready, duration_s, session.chunks, session.transcriptions, accounts)
        self.statistics.ended(ending)
        log.info(
            "session closed",
            event_id="session_closed",
            connection=session.id,
            outcome=outcome,
            duration_s=round(duration_s, 3),
            audio_s=round(accounts.received / m.SAMPLE_RATE, 3),
            received=accounts.received,
            transcribed=accounts.transcribed,
            silence=accounts.silence,
            dropped=accounts.dropped,
            dropped_reason=accounts.reason,
            words=session.transcript.words,
            chunks=session.chunks,
            moves=session.moves,
            gpu_id=session.gpu_id,
            close_code=session.error.close_code if session.error else 1000,
        )

    @property
    def sessions(self) -> int:
        """Return how many sessions are here."""
        return len(self._callers)

    # --- what sessions ask for ------------------------------------------------------------------------------

    def perform(self, caller: Caller, actions: Sequence[Action]) -> None:
        """Do what a session wants done, in order."""
        for action in actions:
            match action:
                case Tell(message):
                    self._tell(caller, message)
                case Lease(avoid):
                    self._place(caller, avoid)
                case Release(lease, close):
                    self._release(caller, lease, close=close)
                case Ready(load_ms):
                    self._ready(caller, load_ms)
                case Hangup():
                    caller.hang_up(action)
                case _:
                    assert_never(action)
        caller.notify()

    def _tell(self, caller: Caller, message: m.ToWorker) -> None:
        lease = caller.session.lease
        worker = self.pool.holder(lease) if lease is not None else None
        if worker is None or getattr(message, "lease", lease) != lease:
            return  # the lease went while earlier actions were performed; its successor has been told everything
        if not self._link.send(worker.identity, message):
            self._worker_lost(self.pool.gone(worker.identity, "cannot be reached"))

    def _place(self, caller: Caller, avoid: str | None) -> None:
        session, now = caller.session, self.clock()
        grant = self.pool.place(session.id, now, avoid=avoid)
        if grant is None:
            if self.pool.ever_served:
                self.perform(caller, session.unplaced(self._no_slot(session)))
            return
        self._by_lease[grant.lease] = caller
        log.info(
            f"Allocated GPU {grant.gpu_id} to connection {session.id}",
            event_id="gpu_allocated",
            connection=session.id,
            gpu_id=grant.gpu_id,
            lease=grant.lease,
        )
        if caller.allocated is None:
            caller.allocated = now
            took_ms = (now - caller.arrived) * 1000 - caller.accept_ms
            log.info(
                f"Connection {session.id}: GPU {grant.gpu_id} allocated ({took_ms:.0f}ms)",
                event_id="allocation_timed",
                connection=session.id,
                gpu_id=grant.gpu_id,
                allocate_ms=round(took_ms, 2),
            )
        self.perform(caller, session.granted(grant.lease, grant.gpu_id, now))
        self._check_model(caller, grant.lease)

    def _check_model(self, caller: Caller, lease: int) -> None:
        worker = self.pool.holder(lease)
        if worker is None or worker.facts is None:
            return
        try:
            check_language(caller.parameters, worker.facts.languages, worker.facts.model)
        except SessionError as error:
            self.perform(caller, caller.session.stop(error))

    def _no_slot(self, session: Session) -> SessionError:
        log.warning("No GPU resources available", event_id="no_gpu_resources", connection=session.id)
        if session.was_ready:
            return RecognitionError("The session's worker was lost and no other has a free slot")
        return NoCapacityError("No GPU resources available", retry_after_s=RETRY_AFTER_S)

    def _release(self, caller: Caller, lease: int, *, close: bool) -> None:
        worker = self.pool.release(lease)
        self._by_lease.pop(lease, None)
        if worker is None:
            return
        self._log_released(caller, worker.gpu_id, lease)
        if close:
            self._link.send(worker.identity, m.Close(lease))

    def _log_released(self, caller: Caller, gpu_id: int, lease: int) -> None:
        log.info(
            f"Released GPU {gpu_id} from connection {caller.session.id}",
            event_id="gpu_released",
            connection=caller.session.id,
            gpu_id=gpu_id,
            lease=lease,
        )

    def _ready(self, caller: Caller, load_ms: float) -> None:
        now, session = self.clock(), caller.session
        allocated = caller.allocated or now
        total_ms = (now - caller.arrived) * 1000
        engine_ms = (now - allocated) * 1000
        allocate_ms = total_ms - engine_ms - caller.accept_ms
        self.statistics.ready(setup(caller.accept_ms, allocate_ms, engine_ms, total_ms))
        log.info(
            f"Connection {session.id}: TranscriptionEngine loaded ({engine_ms:.0f}ms)",
            event_id="engine_loaded",
            connection=session.id,
            gpu_id=session.gpu_id,
            load_ms=round(engine_ms, 2),
            worker_ms=round(load_ms, 2),
            setup_ms=round(total_ms, 2),
        )

    # --- what workers say -----------------------------------------------------------------------------------

    def handle(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        match message:
            case m.Register():
                self._register(identity, message)
            case m.Heartbeat():
                known = self.pool.heartbeat(identity, message, self.clock())
                self._link.send(identity, m.Welcome(self._name) if known else m.Identify(self._name))
            case m.Goodbye(reason):
                self._worker_lost(self.pool.gone(identity, reason))
            case m.Opened(lease) | m.Full(lease) | m.Hypothesis(lease) | m.Finished(lease) | m.StreamFailed(lease):
                self._about_lease(identity, lease, message)
            case _:
                log.warning(
                    "a worker sent what only gateways send", event_id="odd_message", kind=type(message).__name__
                )

    def _about_lease(self, identity: bytes, lease: int, message: object) -> None:
        caller, worker = self._by_lease.get(lease), self.pool.holder(lease)
        if caller is None or worker is None or worker.identity != identity:
            return  # of a lease that was given back or revoked
        session, now = caller.session, self.clock()
        match message:
            case m.Opened(_, load_ms):
                self.perform(caller, session.opened(load_ms, now))
            case m.Hypothesis():
                self.perform(caller, session.hypothesis(message))
            case m.Finished():
                self.perform(caller, session.finished(message))
            case m.Full():
                self._by_lease.pop(lease)
                self.pool.refused(lease, now)
                self._log_released(caller, worker.gpu_id, lease)
                self.perform(caller, session.lost("the worker was full", now, worker=worker.name, blame=False))
            case m.StreamFailed(_, reason):
                log.warning("stream failed", event_id="stream_failed", connection=session.id, reason=reason)
                self._by_lease.pop(lease)
                self.pool.release(lease)
                self._log_released(caller, worker.gpu_id, lease)
                self.statistics.moves["stream_failed"] += 1
                self.perform(caller, session.stream_failed(reason, now, worker=worker.name))

    def _register(self, identity: bytes, facts: m.Register) -> None:
        try:
            before = self.pool.register(identity, facts, self.clock())
        except ValueError as error:
            log.warning(str(error), event_id="worker_refused", worker=facts.worker)
            return
        self._link.send(identity, m.Welcome(self._name))
        log.info(
            f"Worker {facts.worker} serves {facts.slots} slots of {facts.model} on {facts.device_name}",
            event_id="worker_registered",
            worker=facts.worker,
            gpu_id=facts.gpu_id,
            boot=facts.boot,
            device=facts.device,
            pid=facts.pid,
        )
        self._worker_lost(before)
        for caller in [c for c in self._callers.values() if c.session.state is State.WAITING]:
            self._place(caller, None)

    def _worker_lost(self, lost: Lost | None) -> None:
        if lost is None:
            return
        log.warning(
            f"Worker {lost.worker} is lost: {lost.reason}",
            event_id="worker_lost",
            worker=lost.worker,
            gpu_id=lost.gpu_id,
            reason=lost.reason,
            sessions=len(lost.sessions),
        )
        for caller in [self._callers[name] for name in lost.sessions if name in self._callers]:
            lease = caller.session.lease
            if lease is not None:
                self._by_lease.pop(lease, None)
                self._log_released(caller, lost.gpu_id, lease)
            self.statistics.moves["worker_lost"] += 1
            self.perform(caller, caller.session.lost(lost.reason, self.clock(), worker=lost.worker))

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
            # Time in which this process did not run is not the workers' silence: their messages wait unread.
            if self.loop_lag_s < 1.0:
                for lost in self.pool.expire(now):
                    self._worker_lost(lost)
            for caller in list(self._callers.values()):
                self.perform(caller, caller.session.expire(now))
            before = now

    async def drain(self, deadline_s: float) -> None:
        """Flush every session, tell it that the service restarts, and return when all are gone."""
        self.stopping = True
        for caller in list(self._callers.values()):
            self.perform(caller, caller.session.retire(restarting(), self.clock()))
        await self._empty_within(deadline_s)
        for caller in list(self._callers.values()):
            self.perform(caller, caller.session.stop(restarting()))
        await self._empty_within(1.0)

    async def _empty_within(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._empty.wait()


def restarting() -> SessionError:
    """Return the error that ends sessions when the gateway stops."""
    return ServiceRestartError("The service restarts", retry_after_s=RETRY_AFTER_S)

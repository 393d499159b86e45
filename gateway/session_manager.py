"""Everybody who talks to this gateway (shell): clients that come and go, workers' messages, and what time asks for.

It owns the clock's ticks and the ends of sessions; `gateway.placement.coordinator` joins sessions and workers.
"""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Callable, Sequence

from gateway.placement.coordinator import Coordinator
from gateway.placement.events import LoopDelayed, NoSlotFree, SessionClosed
from gateway.placement.observer import Observers
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import Command
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.transport.worker_link import WorkerLink
from shared import logs
from shared.errors import NoCapacityError, ServiceRestartError, SessionError

log = logs.get("gateway.session_manager")

TICK_S = 0.1


class SessionManager:
    """All sessions of this gateway and their workers.

    Args:
        name: this life of the gateway, told to workers.
        link: the socket to the workers.
        workers: workers and leases.
        observers: are told what happens.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        link: WorkerLink,
        workers: WorkerRegistry,
        observers: Observers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers = workers
        self.observers = observers
        self.clock = clock
        self.stopping = False
        self.loop_lag_s = 0.0
        self._link = link
        self.coordinator = Coordinator(name, link, workers, observers, clock)
        self._sessions: dict[str, ClientSession] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    # --- clients --------------------------------------------------------------------------------------------

    def add(self, client: ClientSession) -> None:
        """Take in a new session and look for a slot."""
        self._sessions[client.session.id] = client
        self._empty.clear()
        self.execute(client, client.session.start())

    def find(self, resume_token: str, owner: str | None) -> ClientSession | None:
        """Return the conversation that this token resumes, if the same client asks for it."""
        for client in self._sessions.values():
            if hmac.compare_digest(client.resume_token.encode(), resume_token.encode()):
                return client if client.api_token == owner else None
        return None

    def execute(self, client: ClientSession, commands: Sequence[Command]) -> None:
        """Do what a session wants done, in order."""
        self.coordinator.execute(client, commands)

    def detach(self, client: ClientSession, *, for_good: bool) -> None:
        """The client's socket is gone; unless it closed it itself, the session waits a while for the next one."""
        session = client.session
        client.connection = None
        if for_good or not session.was_ready:
            self.execute(client, session.on_disconnected())
            self._forget(client)
        else:
            self.execute(client, session.on_detached(self.clock()))

    def _forget(self, client: ClientSession) -> None:
        if self._sessions.pop(client.session.id, None) is None:
            return
        self._tell_closed(client)
        if not self._sessions:
            self._empty.set()

    def _tell_closed(self, client: ClientSession) -> None:
        session = client.session
        if session.accounting is None or session.outcome is None:
            return
        closed = SessionClosed(
            connection=session.id,
            outcome=session.outcome,
            was_ready=session.was_ready,
            duration_s=self.clock() - client.requested_at,
            audio_messages=session.audio_messages,
            text_updates=session.text_updates,
            words=session.transcript.words,
            migrations=session.moves,
            gpu_id=session.gpu_id,
            close_code=session.error.close_code if session.error else 1000,
            accounting=session.accounting,
            at=time.time(),
        )
        self.observers.observe(closed)

    @property
    def session_count(self) -> int:
        """Return how many sessions are here."""
        return len(self._sessions)

    @property
    def client_sessions(self) -> list[ClientSession]:
        """Return every conversation, those whose client is away too."""
        return list(self._sessions.values())

    @property
    def malformed_messages(self) -> int:
        """Return how many messages on the workers' socket were none, since the start."""
        return self._link.malformed_messages

    # --- workers, and time ----------------------------------------------------------------------------------

    def on_worker_message(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        self.coordinator.on_worker_message(identity, message)

    async def listen(self) -> None:
        """Hand on workers' messages for ever."""
        while True:
            identity, message = await self._link.receive()
            try:
                self.on_worker_message(identity, message)
            except Exception:  # the top of a shell's loop: one bad message must not stop the others
                log.exception("a worker's message failed", event_id="handler_failed", kind=type(message).__name__)

    async def tick(self) -> None:
        """Enforce the bounds of time for ever."""
        before = self.clock()
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock()
            self.loop_lag_s = max(0.0, now - before - TICK_S)
            self.observers.observe(LoopDelayed(self.loop_lag_s))
            try:
                self.on_tick(now)
            except Exception:  # the top of a shell's loop
                log.exception("a tick failed", event_id="tick_failed")
            before = now

    def on_tick(self, now: float) -> None:
        """Do what time asks for."""
        # Time in which this process did not run is not the workers' silence: their messages wait unread.
        if self.loop_lag_s < 1.0:
            self.coordinator.expire(now)
        for client in list(self._sessions.values()):
            self._expire(client, now)
            if client.ended and client.connection is None and (client.session.grace_expired(now) or self.stopping):
                self._forget(client)
        self.coordinator.rebalance(now)

    def _expire(self, client: ClientSession, now: float) -> None:
        session = client.session
        lease = session.overdue_lease(now)
        if lease is not None:
            self.coordinator.abandon_opening(client, lease)
        was_over = client.ended
        self.execute(client, session.on_time(now))
        if not was_over and isinstance(session.error, NoCapacityError):
            self.observers.observe(NoSlotFree(session.id))

    async def drain(self, deadline_s: float) -> None:
        """Flush every session, tell it that the service restarts, and return when all are gone."""
        self.stopping = True
        for client in list(self._sessions.values()):
            self.execute(client, client.session.drain(restarting(), self.clock()))
        await self._empty_within(deadline_s)
        for client in list(self._sessions.values()):
            self.execute(client, client.session.stop(restarting()))
        await self._empty_within(1.0)

    async def _empty_within(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._empty.wait()


def restarting() -> SessionError:
    """Return the error that ends sessions when the gateway stops."""
    return ServiceRestartError("The service restarts", retry_after_s=RETRY_AFTER_S)

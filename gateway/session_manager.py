"""All sessions of this gateway, from their clients' first connection to their end, and its clock (shell).

`gateway.placement.coordinator` carries out what the sessions ask for.
"""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Callable, Sequence

from gateway.placement.coordinator import Coordinator
from gateway.placement.events import LoopDelayed, NoSlotFree, SessionClosed
from gateway.placement.observer import Observers
from gateway.placement.worker_handle import WorkerSocket
from gateway.placement.worker_messages import WorkerMessages
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.commands import Command
from gateway.sessions.deadlines import RETRY_AFTER_S
from shared import logs
from shared.errors import NoCapacityError, ServiceRestartError, SessionError

log = logs.get("gateway")

TICK_S = 0.1

MAX_LOOP_LAG_S = 1.0
"""Workers are not declared lost in a tick that is later than this: their messages may be in the socket, unread."""

STOP_LIMIT_S = 1.0
"""Clients have this long to take the last message of a session that could not be flushed in time."""


class SessionManager:
    """Keeps the sessions, those too whose client is away, and passes on what clients, workers and time bring.

    Args:
        name: this boot of the gateway, as workers know it.
        link: the socket to the workers.
        workers: all workers.
        observers: get an event for everything that happens.
        clock: monotonic seconds.

    Attributes:
        stopping: True once `drain` has been called.
        loop_lag_s: by how much the last tick was late.
    """

    def __init__(
        self,
        name: str,
        link: WorkerSocket,
        workers: WorkerRegistry,
        observers: Observers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers = workers
        self.observers = observers
        self.clock = clock
        self.stopping = False
        self.loop_lag_s = 0.0
        self.coordinator = Coordinator(name, link, workers, observers, clock)
        self._worker_messages = WorkerMessages(
            self.coordinator, name=name, link=link, workers=workers, observers=observers, clock=clock
        )
        self._link = link
        self._sessions: dict[str, ClientSession] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    # --- clients --------------------------------------------------------------------------------------------

    def add(self, client: ClientSession) -> None:
        """Take in a new session and look for a slot."""
        self._sessions[client.session.id] = client
        self._empty.clear()
        self.execute(client, client.session.start())

    def find(self, resume_token: str, api_token: str | None) -> ClientSession | None:
        """Return the session with this resume token, if it was opened with this API token."""
        for client in self._sessions.values():
            if hmac.compare_digest(client.resume_token.encode(), resume_token.encode()):
                return client if client.api_token == api_token else None
        return None

    def execute(self, client: ClientSession, commands: Sequence[Command]) -> None:
        """Execute a session's commands in order."""
        self.coordinator.execute(client, commands)

    def detach(self, client: ClientSession, *, for_good: bool) -> None:
        """Note that the client's connection is gone; end the session ``for_good``, or wait a while for its next one."""
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
        self._report_closed(client)
        if not self._sessions:
            self._empty.set()

    def _report_closed(self, client: ClientSession) -> None:
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
        return len(self._sessions)

    @property
    def client_sessions(self) -> list[ClientSession]:
        """Return all sessions, those too whose client is away."""
        return list(self._sessions.values())

    @property
    def malformed_messages(self) -> int:
        """Return how many messages on the workers' socket could not be decoded since the start."""
        return self._link.malformed_messages

    # --- workers, and time ----------------------------------------------------------------------------------

    def on_worker_message(self, identity: bytes, message: object) -> None:
        self._worker_messages.on_message(identity, message)

    async def listen(self) -> None:
        """Take workers' messages until cancelled."""
        while True:
            identity, message = await self._link.receive()
            try:
                self.on_worker_message(identity, message)
            except Exception:  # the top of a shell's loop: one bad message must not stop the others
                log.exception("a worker's message failed", event_id="handler_failed", kind=type(message).__name__)

    async def tick(self) -> None:
        """Call `on_tick` every `TICK_S` until cancelled."""
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
        """Enforce every bound of time: of workers, of sessions, and between them."""
        if self.loop_lag_s < MAX_LOOP_LAG_S:
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
        had_ended = client.ended
        self.execute(client, session.on_time(now))
        if not had_ended and isinstance(session.error, NoCapacityError):
            self.observers.observe(NoSlotFree(session.id))

    async def drain(self, deadline_s: float) -> None:
        """Flush every session, end it with the error that the service restarts, and wait until all clients are gone."""
        self.stopping = True
        for client in list(self._sessions.values()):
            self.execute(client, client.session.drain(restarting(), self.clock()))
        await self._empty_within(deadline_s)
        for client in list(self._sessions.values()):
            self.execute(client, client.session.stop(restarting()))
        await self._empty_within(STOP_LIMIT_S)

    async def _empty_within(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._empty.wait()


def restarting() -> SessionError:
    """Return the error that ends sessions when the gateway stops."""
    return ServiceRestartError("The service restarts", retry_after_s=RETRY_AFTER_S)

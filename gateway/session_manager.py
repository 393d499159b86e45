"""Everybody who talks to this gateway (shell): clients that come and go, workers' messages, and what time asks for.

It owns the clock's ticks and the ends of sessions; `gateway.placement.coordinator` joins sessions and workers.
"""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Callable, Sequence

from gateway.monitoring.history_observer import Witness
from gateway.monitoring.statistics import Queues, Statistics
from gateway.placement.coordinator import Dispatcher
from gateway.placement.workers import Pool
from gateway.sessions.client_session import Conversation
from gateway.sessions.commands import Action
from gateway.sessions.deadlines import RETRY_AFTER_S
from gateway.sessions.state import State
from gateway.transport.worker_link import Link
from shared import logs
from shared.errors import NoCapacityError, ServiceRestartError, SessionError

log = logs.get("gateway.session_manager")

TICK_S = 0.1


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
        self._link = link
        self._dispatcher = Dispatcher(name, link, pool, self.records, clock)
        self._conversations: dict[str, Conversation] = {}
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

    def perform(self, conversation: Conversation, actions: Sequence[Action]) -> None:
        """Do what a session wants done, in order."""
        self._dispatcher.perform(conversation, actions)

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
            line=len(self._dispatcher.placement.line),
            unsent=sum(each.outbox.waiting for each in conversations),
            journal=sum(each.dossier.held for each in sessions),
            held_back=sum(each.full for each in sessions),
            noise=self._link.noise,
        )

    # --- workers, and time ----------------------------------------------------------------------------------

    def handle(self, identity: bytes, message: object) -> None:
        """Take one message from a worker."""
        self._dispatcher.handle(identity, message)

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
            self._dispatcher.expire(now)
        for conversation in list(self._conversations.values()):
            self._expire(conversation, now)
            if (
                conversation.over
                and conversation.socket is None
                and (conversation.session.forgotten(now) or self.stopping)
            ):
                self._forget(conversation)
        self._dispatcher.tidy(now)

    def _expire(self, conversation: Conversation, now: float) -> None:
        session = conversation.session
        lease = session.overdue(now)
        if lease is not None:
            self._dispatcher.give_up(conversation, lease)
        was_over = conversation.over
        self.perform(conversation, session.expire(now))
        if not was_over and isinstance(session.error, NoCapacityError):
            self.records.no_slot(session.id)

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


def restarting() -> SessionError:
    """Return the error that ends sessions when the gateway stops."""
    return ServiceRestartError("The service restarts", retry_after_s=RETRY_AFTER_S)

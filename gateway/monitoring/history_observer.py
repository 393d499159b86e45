"""Writes down what `gateway.monitoring.log_observer` does, and tells the chronicle what an operator would like to see of it (shell)."""

import time
from collections.abc import Callable

from gateway.monitoring.history import Events, History
from gateway.monitoring.log_observer import Records
from gateway.monitoring.statistics import Statistics
from gateway.placement.workers import Grant, Lost
from gateway.sessions.client_session import Conversation
from gateway.sessions.commands import Moved
from shared.errors import SessionError
from shared.messages import Register


class Witness(Records):
    """Records that also keep the last ten minutes and the last events.

    Args:
        statistics: the counters.
        clock: monotonic seconds.
    """

    def __init__(self, statistics: Statistics, clock: Callable[[], float]) -> None:
        super().__init__(statistics)
        self.history = History()
        self.events = Events()
        self._clock = clock

    def refused(self, connection: str, error: SessionError) -> None:
        """A client was turned away before it had a session."""
        super().refused(connection, error)
        self._refused(connection, error.code)

    def no_slot(self, connection: str) -> None:
        """A session found every slot taken."""
        super().no_slot(connection)
        self._refused(connection, "no_capacity")

    def _refused(self, connection: str, code: str) -> None:
        self.history.refused(self._clock())
        self.events.note(time.time(), "refused", session=connection, detail=code)

    def allocated(self, conversation: Conversation, grant: Grant, *, first: bool) -> None:
        """A session got a lease; only its first is an event: later ones are moves."""
        if first:
            self.events.note(time.time(), "allocated", session=conversation.session.id, gpu_id=grant.gpu_id)
        super().allocated(conversation, grant, first=first)

    def ready(self, conversation: Conversation, load_ms: float, now: float) -> None:
        """A session became ready for the first time."""
        super().ready(conversation, load_ms, now)
        self.history.setup(now, (now - conversation.arrived) * 1000)

    def moved(self, conversation: Conversation, how: Moved) -> None:
        """A session goes on on another worker."""
        super().moved(conversation, how)
        self.events.note(
            time.time(),
            "moved",
            session=conversation.session.id,
            gpu_id=conversation.session.gpu_id,
            from_gpu=how.from_gpu,
            detail=f"{how.cause}, {how.gap_s * 1000:.0f} ms",
        )

    def closed(self, conversation: Conversation, now: float) -> None:
        """A session is over; one that found no slot has been noted as refused."""
        super().closed(conversation, now)
        session = conversation.session
        if session.outcome not in (None, "no_capacity"):
            self.events.note(time.time(), "ended", session=session.id, gpu_id=session.gpu_id, detail=session.outcome)

    def stream_lost(self, connection: str, worker: str, cause: str, reason: str) -> None:
        """A worker that lives has given a session up."""
        super().stream_lost(connection, worker, cause, reason)
        self.events.note(time.time(), "failed", session=connection, detail=f"{worker}: {cause}")

    def worker_registered(self, facts: Register) -> None:
        """A worker serves."""
        super().worker_registered(facts)
        self.events.note(time.time(), "serving", gpu_id=facts.gpu_id, detail=facts.worker)

    def worker_lost(self, lost: Lost) -> None:
        """A worker is gone, with its leases; one that has said goodbye is no cause for alarm."""
        super().worker_lost(lost)
        if lost.died:
            self.events.note(time.time(), "lost", gpu_id=lost.gpu_id, detail=lost.reason)
        else:
            self.events.note(time.time(), "stopped", gpu_id=lost.gpu_id)

"""Fills the history and the event log of the monitor page (shell)."""

import time
from collections.abc import Callable

from gateway.monitoring.history import EventLog, RollingHistory
from gateway.placement import events


class HistoryObserver:
    """Notes events in a rolling history and an event log.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.history = RollingHistory()
        self.events = EventLog()
        self._clock = clock

    def observe(self, event: events.Event) -> None:  # noqa: C901 - one case for each kind of event
        """Note one event; the end of a session that found no slot is a refusal, and nothing else."""
        match event:
            case events.ConnectionRefused(connection, error):
                self._refused(connection, error.code)
            case events.NoSlotFree(connection):
                self._refused(connection, "no_capacity")
            case events.SlotLeased(connection, gpu_id, _, allocate_ms) if allocate_ms is not None:
                self._note("allocated", session=connection, gpu_id=gpu_id)
            case events.SessionReady():
                self.history.setup(event.now, event.total_ms)
            case events.SessionMigrated(connection, from_gpu, to_gpu, cause, gap_s):
                detail = f"{cause}, {gap_s * 1000:.0f} ms"
                self._note("moved", session=connection, gpu_id=to_gpu, from_gpu=from_gpu, detail=detail)
            case events.SessionClosed() if event.outcome != "no_capacity":
                self._note("ended", session=event.connection, gpu_id=event.gpu_id, detail=event.outcome)
            case events.StreamLost(connection, worker, cause):
                self._note("failed", session=connection, detail=f"{worker}: {cause}")
            case events.WorkerRegistered(registration):
                self._note("serving", gpu_id=registration.gpu_id, detail=registration.worker)
            case events.WorkerDraining(gpu_id):
                self._note("draining", gpu_id=gpu_id)
            case events.WorkerLost() if event.died:
                self._note("lost", gpu_id=event.gpu_id, detail=event.reason)
            case events.WorkerLost():  # it said goodbye, or its load is overdue
                self._note("stopped", gpu_id=event.gpu_id)

    def _refused(self, connection: str, code: str) -> None:
        self.history.refused(self._clock())
        self._note("refused", session=connection, detail=code)

    def _note(
        self,
        kind: str,
        *,
        session: str | None = None,
        gpu_id: int | None = None,
        from_gpu: int | None = None,
        detail: str | None = None,
    ) -> None:
        self.events.note(time.time(), kind, session=session, gpu_id=gpu_id, from_gpu=from_gpu, detail=detail)

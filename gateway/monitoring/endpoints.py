"""The guide's HTTP endpoints, and ``/livez`` and ``/readyz`` for process supervisors and load balancers (shell)."""

import time
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.auth.monitor_auth import MonitorAuth
from gateway.background import BackgroundTasks
from gateway.monitoring import reports
from gateway.monitoring.prometheus import PrometheusView
from gateway.monitoring.snapshot import Queues, Snapshot, session_snapshot, take_snapshot
from gateway.monitoring.statistics import Statistics
from gateway.session_manager import SessionManager
from gateway.sessions.state import State


def snapshots(manager: SessionManager) -> Callable[[], Snapshot]:
    """Return a function that takes a snapshot of the gateway's workers and sessions."""

    def take() -> Snapshot:
        now = manager.clock()
        return take_snapshot(manager.workers, (session_snapshot(each, now) for each in manager.client_sessions))

    return take


def queues(manager: SessionManager) -> Queues:
    """Return how much of everything waits in the gateway now."""
    clients = manager.client_sessions
    sessions = [each.session for each in clients]
    return Queues(
        sessions={state.value: sum(each.state is state for each in sessions) for state in State},
        waiting=len(manager.coordinator.leases.waiting),
        unsent=sum(each.send_queue.waiting for each in clients),
        journal=sum(each.checkpoint.held_samples for each in sessions),
        held_back=sum(each.backpressured for each in sessions),
        malformed=manager.malformed_messages,
    )


class Endpoints:
    """Serves the figures about the gateway and its workers.

    Load balancers and process supervisors have no token, so ``/health``, ``/livez`` and ``/readyz`` need none; no
    session's id is in them.

    Args:
        manager: keeps the sessions.
        statistics: the counts since the start.
        auth: decides which request may see what.
        background: the tasks that must run.
        slots_per_gpu: slots of a worker that has not registered yet.
    """

    def __init__(
        self,
        manager: SessionManager,
        statistics: Statistics,
        auth: MonitorAuth,
        background: BackgroundTasks,
        slots_per_gpu: int,
    ) -> None:
        self._manager = manager
        self._statistics = statistics
        self._auth = auth
        self._background = background
        self._slots_per_gpu = slots_per_gpu
        self._take_snapshot = snapshots(manager)
        self._metrics = CollectorRegistry()
        self._metrics.register(PrometheusView(self._take_snapshot, statistics, lambda: queues(manager)))

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/gpu-status", self._auth.figures(self.gpu_status)),
            Route("/performance", self._auth.figures(self.performance)),
            Route("/metrics/prometheus", self._auth.figures(self.metrics)),
            Route("/health", self.health),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
        ]

    async def gpu_status(self, _request: Request, names: bool) -> Response:
        """Return the workers with their sessions and memory."""
        body = reports.gpu_status(self._take_snapshot(), self._slots_per_gpu)
        return JSONResponse(body if names else reports.without_names(body))

    async def performance(self, _request: Request, names: bool) -> Response:
        """Return how long setups took, how soon words came, and how sessions ended."""
        body = reports.performance(self._take_snapshot(), self._statistics, self._manager.clock())
        return JSONResponse(body if names else reports.without_names(body))

    async def health(self, _request: Request) -> Response:
        """Return how much of the capacity is in use; 503 if there is none."""
        body, status = reports.health(take_snapshot(self._manager.workers), self._statistics, time.time())
        return JSONResponse(body, status)

    async def livez(self, _request: Request) -> Response:
        """Return 200, or 503 once a background task has failed."""
        failure = self._background.failure
        return PlainTextResponse(f"{failure or 'alive'}\n", 503 if failure else 200)

    async def readyz(self, _request: Request) -> Response:
        """Return 200 if a new session would be served now, 503 while no worker serves and while the gateway stops."""
        reason = reports.unready(take_snapshot(self._manager.workers), stopping=self._manager.stopping)
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    async def metrics(self, _request: Request, _names: bool) -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)

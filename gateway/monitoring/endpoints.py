"""The guide's endpoints over HTTP, and two for what starts and stops gateways (shell)."""

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
    """Return what waits in the gateway now."""
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
    """Answers what the gateway and its workers do.

    Load balancers and process supervisors have no token, so ``/health``, ``/livez`` and ``/readyz`` ask for none; no
    session is named there.

    Args:
        manager: keeps the sessions.
        statistics: what was counted.
        auth: decides who may look.
        background: the tasks that must run.
        slots_per_gpu: what a worker is expected to serve.
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
        self._take = snapshots(manager)
        self._metrics = CollectorRegistry()
        self._metrics.register(PrometheusView(self._take, statistics, lambda: queues(manager)))

    def routes(self) -> list[BaseRoute]:
        """Return the endpoints' routes."""
        return [
            Route("/gpu-status", self._auth.figures(self.gpu_status)),
            Route("/performance", self._auth.figures(self.performance)),
            Route("/metrics/prometheus", self._auth.figures(self.metrics)),
            Route("/health", self.health),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
        ]

    async def gpu_status(self, _request: Request, names: bool) -> Response:
        """Answer which workers there are, what they hold, and their memory."""
        body = reports.gpu_status(self._take(), self._slots_per_gpu)
        return JSONResponse(body if names else reports.without_names(body))

    async def performance(self, _request: Request, names: bool) -> Response:
        """Answer how long setups took and what sessions brought."""
        body = reports.performance(self._take(), self._statistics, self._manager.clock())
        return JSONResponse(body if names else reports.without_names(body))

    async def health(self, _request: Request) -> Response:
        """Answer how much capacity is in use; 503 when there is none."""
        body, status = reports.health(self._take(), self._statistics, time.time())
        return JSONResponse(body, status)

    async def livez(self, _request: Request) -> Response:
        """Answer that the process runs; 503 once a background task has failed."""
        failure = self._background.failure
        return PlainTextResponse(f"{failure or 'alive'}\n", 503 if failure else 200)

    async def readyz(self, _request: Request) -> Response:
        """Answer whether a new session would be served now: 503 before a worker has come, and while this one stops."""
        reason = reports.unready(self._take(), stopping=self._manager.stopping)
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    async def metrics(self, _request: Request, _names: bool) -> Response:
        """Answer the metrics in Prometheus' text format."""
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)

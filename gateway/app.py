"""The ASGI application: routes, and a lifespan that owns the gateway's tasks."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from gateway.auth.monitor_auth import Guard
from gateway.background import BackgroundTasks
from gateway.monitoring import prometheus, reports
from gateway.monitoring.sse import Broadcast
from gateway.monitoring.statistics import Statistics
from gateway.placement.workers import Pool
from gateway.session_manager import Switchboard
from gateway.transport.client_connection import Doorman
from gateway.transport.worker_link import Link
from shared import logs
from shared.settings import GatewaySettings

log = logs.get("gateway.app")

WEB = Path(__file__).parent / "web"

WATCH_EVERY_S = 0.25
"""As often as workers tell how they do."""

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self)",
    "cache-control": "no-cache",
}


class Monitoring:
    """The guide's endpoints over HTTP, and two for what starts and stops gateways.

    Whoever balances load or restarts processes has no token, so ``/health``, ``/livez`` and ``/readyz`` ask for none;
    no session is named there.
    """

    def __init__(
        self, settings: GatewaySettings, switchboard: Switchboard, guard: Guard, background: BackgroundTasks
    ) -> None:
        self._guard = guard
        self._background = background
        self._slots_per_gpu = settings.slots_per_gpu
        self._switchboard = switchboard
        self._registry = CollectorRegistry()
        self._registry.register(
            prometheus.PrometheusView(
                switchboard.pool, switchboard.statistics, lambda: switchboard.queues, self._received
            )
        )

    def _received(self) -> int:
        return sum(each.session.received for each in self._switchboard.conversations)

    async def watch(self) -> None:
        """Note the workers' steps until cancelled."""
        while True:
            try:
                self.note_steps()
            except Exception:  # the top of a shell's loop: a worker's figures must not stop the gateway
                log.exception("the steps cannot be noted", event_id="steps_failed")
            await asyncio.sleep(WATCH_EVERY_S)

    def note_steps(self) -> None:
        """Count the steps that workers have told of: one that dies takes its own count with it."""
        for worker in self._switchboard.pool.workers():
            if worker.beat is not None:
                with contextlib.suppress(ValueError):  # a count that makes no sense is not added
                    self._switchboard.statistics.steps.note(worker.name, worker.boot, worker.gpu_id, worker.beat)

    def routes(self) -> list[BaseRoute]:
        """Return the endpoints' routes."""
        return [
            Route("/gpu-status", self._guard.figures(self.gpu_status)),
            Route("/performance", self._guard.figures(self.performance)),
            Route("/metrics/prometheus", self._guard.figures(self.prometheus)),
            Route("/health", self.health),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
        ]

    async def gpu_status(self, _request: Request, names: bool) -> Response:
        """Answer which workers there are, what they hold, and their memory."""
        board = self._switchboard
        body = reports.gpu_status(board.pool, self._slots_per_gpu, waiting=board.waiting, graced=board.graced)
        return JSONResponse(body if names else reports.without_names(body))

    async def performance(self, _request: Request, names: bool) -> Response:
        """Answer how long setups took and what sessions brought."""
        board = self._switchboard
        body = reports.performance(board.pool, board.statistics, board.clock())
        return JSONResponse(body if names else reports.without_names(body))

    async def health(self, _request: Request) -> Response:
        """Answer how much capacity is in use; 503 when there is none."""
        body, status = reports.health(self._switchboard.pool, self._switchboard.statistics, time.time())
        return JSONResponse(body, status)

    async def livez(self, _request: Request) -> Response:
        """Answer that the process runs; 503 once a background task has failed."""
        failure = self._background.failure
        return PlainTextResponse(f"{failure or 'alive'}\n", 503 if failure else 200)

    async def readyz(self, _request: Request) -> Response:
        """Answer whether a new session would be served now: 503 before a worker has come, and while this one stops."""
        reason = reports.unready(self._switchboard.pool, stopping=self._switchboard.stopping)
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    async def prometheus(self, _request: Request, _names: bool) -> Response:
        """Answer the metrics in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class Page(StaticFiles):
    """The page's files; a WebSocket to any other path than ``/asr`` is refused."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class SecurityHeaders:
    """Adds `SECURITY_HEADERS` to every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def create_switchboard(settings: GatewaySettings) -> tuple[Link, Switchboard]:
    """Build the gateway's inside; the link is not bound yet."""
    link = Link(settings.endpoint(), settings.queue_messages)
    pool = Pool(range(settings.gpu_workers), lost_after_s=settings.worker_lost_s)
    return link, Switchboard(uuid.uuid4().hex, link, pool, Statistics())


def create_app(
    settings: GatewaySettings, link: Link, switchboard: Switchboard, background: BackgroundTasks | None = None
) -> Starlette:
    """Return the application; its lifespan binds the link and runs the switchboard."""
    guard = Guard(settings)
    broadcast = Broadcast(switchboard, settings.slots_per_gpu, guard)
    background = background or BackgroundTasks()
    monitoring = Monitoring(settings, switchboard, guard, background)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        link.bind()
        try:
            async with background.running(
                workers=switchboard.listen(),
                clock=switchboard.tick(),
                steps=monitoring.watch(),
                monitor=broadcast.run(),
            ):
                yield
        finally:
            link.close()

    routes: list[BaseRoute] = [
        WebSocketRoute("/asr", Doorman(settings, switchboard).asr),
        *monitoring.routes(),
        *broadcast.routes(),
        Mount("/", Page(directory=WEB, html=True)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(SecurityHeaders)
    return app

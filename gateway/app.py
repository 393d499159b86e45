"""The ASGI application: the parts of the gateway, its routes, and a lifespan that runs the background tasks."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from gateway.auth.monitor_auth import MonitorAuth
from gateway.background import BackgroundTasks
from gateway.monitoring.endpoints import Endpoints
from gateway.monitoring.history_observer import HistoryObserver
from gateway.monitoring.log_observer import LogObserver
from gateway.monitoring.sse import MonitorFeed
from gateway.monitoring.statistics import Statistics
from gateway.placement.observer import Observers
from gateway.placement.workers import WorkerRegistry
from gateway.protocols import PROTOCOLS
from gateway.protocols.base import ProtocolFactory
from gateway.session_manager import SessionManager
from gateway.static_page import SecurityHeaders, StaticPage
from gateway.transport.client_endpoint import ClientEndpoints
from gateway.transport.worker_link import WorkerLink
from shared.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of one gateway; the link is bound when the application starts."""

    link: WorkerLink
    manager: SessionManager
    statistics: Statistics
    history: HistoryObserver
    background: BackgroundTasks


def create_gateway(settings: GatewaySettings, clock: Callable[[], float] = monotonic) -> Gateway:
    """Create the parts and connect them to each other."""
    link = WorkerLink(settings.endpoint(), settings.queue_messages)
    workers = WorkerRegistry(range(settings.gpu_workers), lost_after_s=settings.worker_lost_s)
    statistics, history = Statistics(), HistoryObserver(clock)
    observers = Observers([LogObserver(), statistics, history])
    manager = SessionManager(uuid.uuid4().hex, link, workers, observers, clock)
    return Gateway(link, manager, statistics, history, BackgroundTasks())


def create_app(
    settings: GatewaySettings, gateway: Gateway, protocols: Mapping[str, ProtocolFactory] = PROTOCOLS
) -> Starlette:
    """Return the application; its lifespan binds the link and runs the background tasks.

    Args:
        settings: tokens, origins, and all bounds.
        gateway: its parts.
        protocols: by path.
    """
    auth = MonitorAuth(settings)
    manager = gateway.manager
    feed = MonitorFeed(manager, gateway.history, settings.slots_per_gpu, auth)
    endpoints = Endpoints(manager, gateway.statistics, auth, gateway.background, settings.slots_per_gpu)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        gateway.link.bind()
        try:
            async with gateway.background.running(workers=manager.listen(), clock=manager.tick(), monitor=feed.run()):
                yield
        finally:
            gateway.link.close()

    routes: list[BaseRoute] = [
        *ClientEndpoints(settings, manager, protocols).routes(),
        *endpoints.routes(),
        *feed.routes(),
        Mount("/", StaticPage()),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(SecurityHeaders)
    return app

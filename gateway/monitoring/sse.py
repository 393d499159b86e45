"""The monitor page and its stream of server-sent events: one producer, any number of viewers (shell)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.auth.monitor_auth import MonitorAuth
from gateway.monitoring.endpoints import snapshots
from gateway.monitoring.history_observer import HistoryObserver
from gateway.monitoring.monitor_state import monitor_state
from gateway.session_manager import SessionManager
from shared import logs

JsonObject = dict[str, Any]

log = logs.get("gateway")

PERIOD_S = 1.0
HEARTBEAT_S = 5.0
"""A stream without news gets a comment this often, so that proxies do not end it."""

RETRY_MS = 2000
MAX_VIEWERS = 64
PAGE = Path(__file__).parents[1] / "web" / "monitor.html"

EVENT_STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Subscriber:
    """What one viewer has not been sent yet: the newest state of each topic, so that it cannot pile up."""

    def __init__(self) -> None:
        self._unsent: dict[str, bytes] = {}
        self._has_news = asyncio.Event()
        self._closed = False

    def offer(self, topic: str, chunk: bytes) -> None:
        """Replace the unsent state of a topic."""
        self._unsent[topic] = chunk
        self._has_news.set()

    def close(self) -> None:
        """Let the stream end once everything is sent."""
        self._closed = True
        self._has_news.set()

    async def take(self, limit_s: float = HEARTBEAT_S) -> bytes | None:
        """Wait for news and return everything unsent; return a comment if nothing comes, None at the end."""
        try:
            async with asyncio.timeout(limit_s):
                await self._has_news.wait()
        except TimeoutError:
            return b": still here\n\n"
        if self._closed and not self._unsent:
            return None
        chunk = b"".join(self._unsent.values())
        self._unsent.clear()
        if not self._closed:
            self._has_news.clear()
        return chunk


class Stream(StreamingResponse):
    """The response to one viewer, which is in ``viewers`` exactly as long as the response is being sent."""

    def __init__(self, viewer: Subscriber, viewers: set[Subscriber]) -> None:
        super().__init__(_chunks(viewer), headers=EVENT_STREAM, media_type="text/event-stream")
        self._viewer = viewer
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer disconnects or is closed."""
        self._viewers.add(self._viewer)
        try:
            await super().__call__(scope, receive, send)
        finally:  # here, not in the generator: that does not run when the viewer disconnects during a send
            self._viewers.discard(self._viewer)


async def _chunks(viewer: Subscriber) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    while (chunk := await viewer.take()) is not None:
        yield chunk


class MonitorFeed:
    """The monitor page, its stream of server-sent events, and the same state as JSON.

    Args:
        manager: keeps the sessions.
        history: the last ten minutes and the last events.
        slots_per_gpu: slots of a worker that has not registered yet.
        auth: decides which request may see what.
    """

    def __init__(
        self, manager: SessionManager, history: HistoryObserver, slots_per_gpu: int, auth: MonitorAuth
    ) -> None:
        self._manager = manager
        self._history = history.history
        self._events = history.events
        self._slots_per_gpu = slots_per_gpu
        self._auth = auth
        self._take_snapshot = snapshots(manager)
        self._started = manager.clock()
        self._subscribers: set[Subscriber] = set()
        self._sent: tuple[object, object] = (None, None)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/monitor", self._auth.page(self.page)),
            Route("/monitor/events", self._auth.page(self.events)),
            Route("/monitor/state", self._auth.page(self.state)),
        ]

    async def page(self, _request: Request) -> Response:
        """Return the page itself, which holds no figures."""
        return FileResponse(PAGE)

    async def state(self, _request: Request) -> Response:
        """Return in one body what the stream sends by topics."""
        return JSONResponse(self._now() | {"history": self._history_body(), "events": self._events.body()})

    async def events(self, _request: Request) -> Response:
        """Return the stream, which does not end while the gateway runs."""
        if len(self._subscribers) >= MAX_VIEWERS:
            return Response("Too many viewers.\n", 503, {"retry-after": "10"}, "text/plain")
        viewer = Subscriber()
        for topic, body in (
            ("now", self._now()),
            ("history", self._history_body()),
            ("events", self._events.body()),
        ):
            viewer.offer(topic, encode(topic, body))
        return Stream(viewer, self._subscribers)

    # --- the producer ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Call `produce` every `PERIOD_S` until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                self.produce()
            except Exception:  # the top of a shell's loop: an error in here must not stop the gateway
                log.exception("the wall failed", event_id="wall_failed")

    def produce(self) -> None:
        """Take a sample for the history, and offer every viewer what is new."""
        now, body = self._manager.clock(), self._now()
        self._history.sampled(now, used=body["used_slots"], lag_s=body["lag_s"])
        self._offer("now", body)
        versions = (self._history.number(now), self._events.version)
        if versions[0] != self._sent[0]:
            self._offer("history", self._history_body())
        if versions[1] != self._sent[1]:
            self._offer("events", self._events.body())
        self._sent = versions
        if self._manager.stopping and not self._manager.session_count:
            # Nothing more will happen, and an open stream would delay the end of the gateway.
            for viewer in self._subscribers:
                viewer.close()

    def _offer(self, topic: str, body: object) -> None:
        if self._subscribers:
            chunk = encode(topic, body)
            for viewer in self._subscribers:
                viewer.offer(topic, chunk)

    def _now(self) -> JsonObject:
        uptime_s = self._manager.clock() - self._started
        return monitor_state(
            self._take_snapshot(), at=time.time(), uptime_s=uptime_s, slots_per_gpu=self._slots_per_gpu
        )

    def _history_body(self) -> JsonObject:
        return self._history.body(self._manager.clock())


def encode(topic: str, body: object) -> bytes:
    """Return one server-sent event with a JSON body."""
    return f"event: {topic}\ndata: {json.dumps(body, separators=(',', ':'), allow_nan=False)}\n\n".encode()

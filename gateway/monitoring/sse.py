"""Shows the gateway's state to everyone who looks at ``/monitor``: one producer, any number of viewers (shell)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.auth.monitor_auth import Guard
from gateway.monitoring.snapshot import SessionFacts, now_body
from gateway.placement.workers import WorkerState
from gateway.session_manager import Switchboard
from gateway.sessions.send_queue import JsonObject
from shared import logs

log = logs.get("gateway.monitoring.sse")

PERIOD_S = 1.0
HEARTBEAT_S = 5.0
RETRY_MS = 2000
MAX_VIEWERS = 64
PAGE = Path(__file__).parent / "web" / "monitor.html"

EVENT_STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Viewer:
    """What one viewer has not been sent yet: of each topic the newest state alone, so that it can never pile up."""

    def __init__(self) -> None:
        self._unsent: dict[str, bytes] = {}
        self._news = asyncio.Event()
        self._closed = False

    def offer(self, topic: str, chunk: bytes) -> None:
        """Replace what is unsent of a topic."""
        self._unsent[topic] = chunk
        self._news.set()

    def close(self) -> None:
        """Let the stream end once all is sent."""
        self._closed = True
        self._news.set()

    async def take(self, patience_s: float = HEARTBEAT_S) -> bytes | None:
        """Return everything unsent, waiting for it; a comment if nothing comes, None at the end."""
        try:
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        if self._closed and not self._unsent:
            return None
        chunk = b"".join(self._unsent.values())
        self._unsent.clear()
        if not self._closed:
            self._news.clear()
        return chunk


class Stream(StreamingResponse):
    """The answer to one viewer, who is among ``viewers`` for exactly as long as it is being sent."""

    def __init__(self, viewer: Viewer, viewers: set[Viewer]) -> None:
        super().__init__(_chunks(viewer), headers=EVENT_STREAM, media_type="text/event-stream")
        self._viewer = viewer
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer goes or is closed."""
        self._viewers.add(self._viewer)
        try:
            await super().__call__(scope, receive, send)
        finally:  # not the generator's: one that waits in a send is not told when its viewer goes
            self._viewers.discard(self._viewer)


async def _chunks(viewer: Viewer) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    while (chunk := await viewer.take()) is not None:
        yield chunk


class Broadcast:
    """The monitor page, its stream of server-sent events, and the same state as JSON.

    Args:
        switchboard: the sessions and workers, and what its records keep of the last ten minutes.
        slots_per_gpu: what a worker is expected to serve.
        guard: decides who may look.
    """

    def __init__(self, switchboard: Switchboard, slots_per_gpu: int, guard: Guard) -> None:
        self._switchboard = switchboard
        self._slots_per_gpu = slots_per_gpu
        self._guard = guard
        self._started = switchboard.clock()
        self._witness = switchboard.records
        self._viewers: set[Viewer] = set()
        self._draining: set[int] = set()
        self._shown: tuple[object, object] = (None, None)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page, its stream and its state."""
        return [
            Route("/monitor", self._guard.page(self.page)),
            Route("/monitor/events", self._guard.page(self.events)),
            Route("/monitor/state", self._guard.page(self.state)),
        ]

    async def page(self, _request: Request) -> Response:
        """Answer the page itself, which holds no figures."""
        return FileResponse(PAGE)

    async def state(self, _request: Request) -> Response:
        """Answer everything at once."""
        return JSONResponse(self._now() | {"history": self._history(), "events": self._witness.events.body()})

    async def events(self, _request: Request) -> Response:
        """Answer a stream that never ends by itself while the gateway runs."""
        if len(self._viewers) >= MAX_VIEWERS:
            return Response("Too many viewers.\n", 503, {"retry-after": "10"}, "text/plain")
        viewer = Viewer()
        for topic, body in (
            ("now", self._now()),
            ("history", self._history()),
            ("events", self._witness.events.body()),
        ):
            viewer.offer(topic, encode(topic, body))
        return Stream(viewer, self._viewers)

    # --- the producer ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take samples, and show them to all viewers, for ever."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                self.produce()
            except Exception:  # the top of a shell's loop: a wall that is wrong must not stop the gateway
                log.exception("the wall failed", event_id="wall_failed")

    def produce(self) -> None:
        """Sample once, and offer every viewer what is new."""
        now, body = self._switchboard.clock(), self._now()
        self._note_draining()
        self._witness.history.sampled(now, used=body["used_slots"], lag_s=body["lag_s"])
        self._offer("now", body)
        shown = (self._witness.history.number(now), self._witness.events.version)
        if shown[0] != self._shown[0]:
            self._offer("history", self._history())
        if shown[1] != self._shown[1]:
            self._offer("events", self._witness.events.body())
        self._shown = shown
        if self._switchboard.stopping and not self._switchboard.sessions:
            # Nothing more will happen; a stream left open would hold up the gateway's end.
            for viewer in self._viewers:
                viewer.close()

    def _note_draining(self) -> None:
        draining = {
            worker.gpu_id for worker in self._switchboard.pool.workers() if worker.state is WorkerState.DRAINING
        }
        for gpu_id in sorted(draining - self._draining):
            self._witness.events.note(time.time(), "draining", gpu_id=gpu_id)
        self._draining = draining

    def _offer(self, topic: str, body: object) -> None:
        if self._viewers:
            chunk = encode(topic, body)
            for viewer in self._viewers:
                viewer.offer(topic, chunk)

    def _now(self) -> JsonObject:
        board = self._switchboard
        now = board.clock()
        sessions = [
            SessionFacts(
                id=each.session.id,
                state=each.session.state.value,
                lease=each.session.lease,
                age_s=now - each.arrived,
                lag_s=each.session.lag_s,
                attached=each.session.attached,
            )
            for each in board.conversations
        ]
        return now_body(
            board.pool,
            sessions,
            at=time.time(),
            uptime_s=now - self._started,
            slots_per_gpu=self._slots_per_gpu,
        )

    def _history(self) -> JsonObject:
        return self._witness.history.body(self._switchboard.clock())


def encode(topic: str, body: object) -> bytes:
    """Return one server-sent event."""
    return f"event: {topic}\ndata: {json.dumps(body, separators=(',', ':'), allow_nan=False)}\n\n".encode()

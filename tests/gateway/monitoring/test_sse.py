"""The monitor's stream: one producer, viewers of any speed, and its end."""

import asyncio
import json

import pytest
from starlette.applications import Starlette

from gateway.auth.monitor_auth import MonitorAuth
from gateway.monitoring import sse
from gateway.monitoring.sse import HEARTBEAT_S, MAX_VIEWERS, MonitorFeed, Subscriber
from shared.messages import Goodbye
from shared.settings import GatewaySettings
from tests.gateway.exchange import Exchange
from tests.scripted_recognizer import say

pytestmark = pytest.mark.anyio

TOPICS = ["now", "history", "events"]


class Viewer:
    """One browser: reads when `reading` is set, and may vanish."""

    def __init__(self, app, path="/monitor/events", headers=()) -> None:
        self._app, self._path, self._headers = app, path, list(headers)
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.reading = asyncio.Event()
        self.reading.set()
        self._gone = asyncio.Event()
        self._asked = False

    def open(self) -> asyncio.Task:
        """Send the request."""
        scope = {
            "type": "http",
            "asgi": {"spec_version": "2.3", "version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"a.example"), *self._headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        return asyncio.create_task(self._app(scope, self._receive, self._send))

    def leave(self) -> None:
        self._gone.set()

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    def read(self) -> list[tuple[str, object]]:
        """Return the events that have come since the last call, as topic and body."""
        blocks, self.body = self.body.decode().split("\n\n")[:-1], b""
        fields = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
        return [(each["event"], json.loads(each["data"])) for each in fields if "event" in each]

    def topics(self) -> list[str]:
        """Return the topics of these events."""
        return [topic for topic, _ in self.read()]


async def settle():
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


class MonitorHarness:
    """A gateway without a network, with its monitor feed."""

    def __init__(self, **changes) -> None:
        self.exchange = Exchange(workers=2, slots=2).boot_all()
        self.feed = MonitorFeed(
            self.exchange.manager, self.exchange.history, 2, MonitorAuth(GatewaySettings.defaults(**changes))
        )
        self.app = Starlette(routes=self.feed.routes())

    async def produce(self, passed_s=0) -> None:
        """Let time pass and the feed take one sample, and give it to every viewer."""
        self.exchange.clock.now += passed_s
        self.feed.produce()
        await settle()

    async def view(self, **options) -> Viewer:
        """Return a viewer whose stream has begun."""
        viewer = Viewer(self.app, **options)
        self.task = viewer.open()
        await settle()
        return viewer


async def test_a_viewer_gets_everything_then_what_has_changed():
    """All three topics at once; then ``now`` each second, the others when they have changed."""
    monitor = MonitorHarness()
    viewer = await monitor.view()
    assert (viewer.status, viewer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (viewer.headers["cache-control"], viewer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert viewer.body.startswith(b"retry: 2000\n\n")
    assert viewer.topics() == TOPICS
    await monitor.produce()
    viewer.read()
    await monitor.produce(1)
    assert viewer.topics() == ["now"]
    client = monitor.exchange.client().join()
    await monitor.produce(1)
    seen = dict(viewer.read())
    assert set(seen) == {"now", "events"}
    assert seen["now"]["gpus"][0]["sessions"][0]["id"] == client.session.id[:8]
    assert seen["events"][0]["kind"] == "allocated"
    await monitor.produce(5)
    assert viewer.topics() == ["now", "history"]
    viewer.leave()
    await monitor.task


async def test_a_slow_viewer_gets_the_latest_state():
    """One that reads nothing for an hour delays no other, takes no memory, and then gets the present state."""
    monitor = MonitorHarness()
    slow = await monitor.view()
    slow_task = monitor.task
    quick = await monitor.view()
    quick.read()
    slow.read()
    slow.reading.clear()
    await monitor.produce()
    for _ in range(600):
        await monitor.produce(6)
    (behind,) = [viewer for viewer in monitor.feed._subscribers if viewer._unsent]
    assert set(behind._unsent) <= set(TOPICS)
    assert len(quick.read()) >= 1200
    slow.reading.set()
    await settle()
    seen = slow.read()
    assert len(seen) <= 2 * len(TOPICS)
    assert [body for topic, body in seen if topic == "now"][-1]["uptime_s"] == 3600
    for viewer in (slow, quick):
        viewer.leave()
    await asyncio.gather(slow_task, monitor.task)
    assert not monitor.feed._subscribers


async def test_a_vanished_viewer_is_forgotten():
    """Reading or not, it leaves no subscriber behind."""
    monitor = MonitorHarness()
    for is_reading in (True, False):
        viewer = await monitor.view()
        if not is_reading:
            viewer.reading.clear()
            await monitor.produce()
        assert len(monitor.feed._subscribers) == 1
        viewer.leave()
        await monitor.task
        assert not monitor.feed._subscribers
    monitor.feed.produce()


async def test_viewers_are_limited():
    """One more is told to try later; when one leaves there is room again."""
    monitor = MonitorHarness()
    viewers = [await monitor.view() for _ in range(MAX_VIEWERS)]
    last = await monitor.view()
    assert (last.status, last.headers["retry-after"]) == (503, "10")
    viewers[0].leave()
    await settle()
    assert (await monitor.view()).status == 200
    for viewer in viewers:
        viewer.leave()


async def test_a_comment_is_sent_when_there_is_nothing_else():
    """It keeps proxies from closing the stream."""
    viewer = Subscriber()
    assert (await viewer.take(0)).startswith(b":")
    viewer.offer("now", b"old")
    viewer.offer("now", b"new")
    assert await viewer.take(0) == b"new"
    assert (await viewer.take(0)).startswith(b":")
    assert HEARTBEAT_S < 15


async def test_streams_end_with_the_gateway():
    """A stream lasts through the drain, and ends with the last session."""
    monitor = MonitorHarness()
    viewer = await monitor.view()
    client = monitor.exchange.client().join()
    monitor.exchange.run(3)
    monitor.exchange.manager.stopping = True
    await monitor.produce()
    assert not monitor.task.done()
    client.leave()
    monitor.exchange.run(3)
    monitor.feed.produce()
    await monitor.task
    assert not monitor.feed._subscribers
    assert [event["kind"] for event in dict(viewer.read())["events"]][:2] == ["ended", "allocated"]


async def test_the_events_of_a_worker():
    """Allocations, the loss, migrations, the return and refusals are events; setups are in the history."""
    monitor = MonitorHarness()
    exchange = monitor.exchange
    clients = [exchange.client().join() for _ in range(3)]
    exchange.run(3)
    for client in clients:
        client.say(say(["apple", "river"]).pcm.tobytes())
    exchange.workers[0].alive = False
    exchange.run(12)
    exchange.hear(exchange.boot(0))
    exchange.run(3)
    for _ in range(3):
        exchange.client().join()
    monitor.feed.produce()
    state = Viewer(monitor.app, "/monitor/state")
    await state.open()
    body = json.loads(state.body)
    assert {gpu["state"] for gpu in body["gpus"]} == {"serving"}
    assert [gpu["boots"] for gpu in body["gpus"]] == [2, 1]
    assert (body["history"]["setups"], body["history"]["refused"]) == (3, 2)
    kinds = [event["kind"] for event in reversed(body["events"])]
    assert [kinds.pop(0), kinds.pop(0)] == ["serving", "serving"]
    assert kinds.count("allocated") == 4
    assert kinds.index("lost") < kinds.index("moved") < kinds.index("serving") < kinds.index("refused")
    (refused,) = [event for event in body["events"] if event["kind"] == "refused"]
    assert (refused["detail"], refused["count"]) == ("no_capacity", 2)
    moved = next(event for event in body["events"] if event["kind"] == "moved")
    assert (moved["from_gpu"], moved["detail"].partition(",")[0]) == (0, "worker_lost")
    assert "apple" not in state.body.decode()


@pytest.mark.parametrize("path", ["/monitor", "/monitor/events", "/monitor/state"])
async def test_the_token_is_required(path):
    """Neither the page nor its data are shown without MONITOR_TOKEN."""
    monitor = MonitorHarness(monitor_token="open sesame")
    refused = Viewer(monitor.app, path)
    await refused.open()
    assert refused.status == 401
    assert b"serving" not in refused.body
    allowed = Viewer(monitor.app, path, [(b"authorization", b"Bearer open sesame")])
    task = allowed.open()
    await settle()
    allowed.leave()
    await task
    assert allowed.status == 200


def test_a_goodbye_is_no_loss():
    """A worker that says goodbye is listed as stopped, not as lost."""
    monitor = MonitorHarness()
    worker = monitor.exchange.workers[1]
    worker.send(Goodbye("stopped"))
    monitor.exchange.hear(worker)
    (last, *_) = monitor.exchange.history.events.body()
    assert (last["kind"], last["gpu_id"]) == ("stopped", 1)


def test_each_drain_is_one_event():
    """It is noted with the first heartbeat that tells it."""
    monitor = MonitorHarness()
    worker = monitor.exchange.workers[1]
    for draining in (True, True, False, True):
        worker.draining = draining
        worker.beat()
        monitor.exchange.hear(worker)
        monitor.feed.produce()
    events = [event for event in monitor.exchange.history.events.body() if event["kind"] == "draining"]
    assert [event["gpu_id"] for event in events] == [1, 1]


def test_the_page_uses_relative_names():
    """So it works behind a path prefix."""
    page = sse.PAGE.read_text()
    assert 'src="monitor/app.js"' in page
    assert 'href="/' not in page

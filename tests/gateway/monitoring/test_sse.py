"""The wall's stream: one producer, viewers of any pace, and an end that leaves nobody behind."""

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

TOPICS = ["now", "history", "events"]


class Browser:
    """One viewer as the server sees it: takes what it is sent when it likes, and may go."""

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
        """Vanish."""
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


class House:
    """A gateway without a network, with its monitor feed."""

    def __init__(self, **changes) -> None:
        self.exchange = Exchange(workers=2, slots=2).boot_all()
        self.board = self.exchange.manager
        self.feed = MonitorFeed(self.board, self.exchange.history, 2, MonitorAuth(GatewaySettings.defaults(**changes)))
        self.app = Starlette(routes=self.feed.routes())

    async def view(self, **options) -> Browser:
        """Give a browser whose stream has begun."""
        browser = Browser(self.app, **options)
        self.task = browser.open()
        await settle()
        return browser


async def test_a_viewer_gets_everything_at_once_then_what_is_new():
    """The first answer has all three parts; then the present comes each second, the others when they have changed."""
    house = House()
    browser = await house.view()
    assert (browser.status, browser.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (browser.headers["cache-control"], browser.headers["x-accel-buffering"]) == ("no-store", "no")
    assert browser.body.startswith(b"retry: 2000\n\n")
    assert browser.topics() == TOPICS
    house.feed.produce()
    await settle()
    browser.read()
    house.exchange.clock.now += 1
    house.feed.produce()
    await settle()
    assert browser.topics() == ["now"]
    client = house.exchange.client().join()
    house.exchange.clock.now += 1
    house.feed.produce()
    await settle()
    seen = dict(browser.read())
    assert set(seen) == {"now", "events"}
    assert seen["now"]["gpus"][0]["sessions"][0]["id"] == client.session.id[:8]
    assert seen["events"][0]["kind"] == "allocated"
    house.exchange.clock.now += 5
    house.feed.produce()
    await settle()
    assert browser.topics() == ["now", "history"]
    browser.leave()
    await house.task


async def test_a_slow_viewer_gets_the_latest_state():
    """Whoever takes nothing for an hour holds up no one, costs no memory, and then sees the present, not the past."""
    house = House()
    slow = await house.view()
    slow_task = house.task
    quick = await house.view()
    quick.read()
    slow.read()
    slow.reading.clear()
    house.feed.produce()
    await settle()
    for _ in range(600):
        house.exchange.clock.now += 6
        house.feed.produce()
        await settle()
    (behind,) = [viewer for viewer in house.feed._subscribers if viewer._unsent]
    assert set(behind._unsent) <= set(TOPICS)
    assert len(quick.read()) >= 1200
    slow.reading.set()
    await settle()
    seen = slow.read()
    assert len(seen) <= 2 * len(TOPICS)
    assert [body for topic, body in seen if topic == "now"][-1]["uptime_s"] == 3600
    for browser in (slow, quick):
        browser.leave()
    await asyncio.gather(slow_task, house.task)
    assert not house.feed._subscribers


async def test_a_vanished_viewer_is_forgotten():
    """A viewer that goes, reading or not, leaves nothing behind and stops nothing."""
    house = House()
    for is_reading in (True, False):
        browser = await house.view()
        if not is_reading:
            browser.reading.clear()
            house.feed.produce()
            await settle()
        assert len(house.feed._subscribers) == 1
        browser.leave()
        await house.task
        assert not house.feed._subscribers
    house.feed.produce()


async def test_there_is_a_last_seat():
    """So many viewers and no more; a seat that is given up is free again."""
    house = House()
    crowd = [await house.view() for _ in range(MAX_VIEWERS)]
    last = await house.view()
    assert (last.status, last.headers["retry-after"]) == (503, "10")
    crowd[0].leave()
    await settle()
    assert (await house.view()).status == 200
    for browser in crowd:
        browser.leave()


async def test_silence_is_filled():
    """When there is nothing to send a comment keeps proxies from closing the stream, and news come at once after it."""
    viewer = Subscriber()
    assert (await viewer.take(0)).startswith(b":")
    viewer.offer("now", b"old")
    viewer.offer("now", b"new")
    assert await viewer.take(0) == b"new"
    assert (await viewer.take(0)).startswith(b":")
    assert HEARTBEAT_S < 15


async def test_streams_end_with_the_gateway():
    """A stream lasts through the drain, so that it can be watched, and ends when the last session is gone."""
    house = House()
    browser = await house.view()
    client = house.exchange.client().join()
    house.exchange.run(3)
    house.board.stopping = True
    house.feed.produce()
    await settle()
    assert not house.task.done()
    client.leave()
    house.exchange.run(3)
    house.feed.produce()
    await house.task
    assert not house.feed._subscribers
    assert [event["kind"] for event in dict(browser.read())["events"]][:2] == ["ended", "allocated"]


async def test_the_story_of_a_worker():
    """Allocation, a lost worker, the moves, its return and a refusal are events; setups are on the chart."""
    house = House()
    exchange = house.exchange
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
    house.feed.produce()
    state = Browser(house.app, "/monitor/state")
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
async def test_the_token_is_asked_for(path):
    """With MONITOR_TOKEN neither the page nor its data are shown without it."""
    house = House(monitor_token="open sesame")
    refused = Browser(house.app, path)
    await refused.open()
    assert refused.status == 401
    assert b"serving" not in refused.body
    allowed = Browser(house.app, path, [(b"authorization", b"Bearer open sesame")])
    task = allowed.open()
    await settle()
    allowed.leave()
    await task
    assert allowed.status == 200


def test_a_goodbye_is_no_alarm():
    """A worker that stops as it was told has stopped; it is not lost."""
    house = House()
    worker = house.exchange.workers[1]
    worker.send(Goodbye("stopped"))
    house.exchange.hear(worker)
    (last, *_) = house.exchange.history.events.body()
    assert (last["kind"], last["gpu_id"]) == ("stopped", 1)


def test_a_drain_is_an_event_once():
    """A worker that begins to drain is noted when it is first seen so, and again at its next drain only."""
    house = House()
    worker = house.exchange.workers[1]
    for draining in (True, True, False, True):
        worker.draining = draining
        worker.beat()
        house.exchange.hear(worker)
        house.feed.produce()
    events = [event for event in house.exchange.history.events.body() if event["kind"] == "draining"]
    assert [event["gpu_id"] for event in events] == [1, 1]


def test_the_page_is_where_it_is_looked_for():
    """The page's file exists and asks for its parts by relative names, so that it works behind a path prefix."""
    page = sse.PAGE.read_text()
    assert 'src="monitor/app.js"' in page
    assert 'href="/' not in page

"""The gateway's background tasks: the first that ends by itself is logged, told by ``/livez``, and ends the process."""

import asyncio
import logging

import httpx
import pytest

from gateway.app import create_app, create_gateway
from gateway.background import BackgroundTasks
from shared import logs
from shared.settings import GatewaySettings
from tests.gateway.exchange import RecordingHandler

pytestmark = pytest.mark.anyio


async def _fail_next_receive(link):
    async def receive():
        raise OSError("the worker socket is broken")

    link.receive = receive


async def _close_under_reader(link):
    """Close the worker socket, whose reader pyzmq then cancels."""
    await asyncio.sleep(0.05)
    link._socket.close()


@pytest.mark.parametrize("break_link", [_fail_next_receive, _close_under_reader])
async def test_a_broken_worker_socket_is_noticed(tmp_path, break_link):
    """Whichever way it breaks: one error with its traceback is logged, and ``/livez`` answers 503."""
    logs.configure(log_format="json", level="info", process="gateway")
    log = RecordingHandler()
    logging.getLogger().handlers = [log]
    settings = GatewaySettings.defaults(run_dir=tmp_path)
    gateway = create_gateway(settings)
    app = create_app(settings, gateway)
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://a.example") as client,
        app.router.lifespan_context(app),
    ):
        assert (await client.get("/livez")).status_code == 200
        await break_link(gateway.link)
        await asyncio.wait_for(gateway.background.failed.wait(), 5)
        answer = await client.get("/livez")
        assert (answer.status_code, answer.text) == (503, "the background task 'workers' has ended\n")
    (event,) = log.of("background_failed")
    assert event["task"] == "workers"
    assert event["exc_info"].__traceback__ is not None


async def test_only_a_task_that_ends_by_itself_has_failed():
    """Stopping all tasks is no failure; a task that returns is one, and the others go on."""
    background, ended = BackgroundTasks(), asyncio.Event()
    async with background.running(one=asyncio.sleep(60), two=asyncio.sleep(60)):
        await asyncio.sleep(0)
    assert background.failure is None

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with background.running(short=asyncio.sleep(0), long=wait()):
        await asyncio.wait_for(background.failed.wait(), 5)
        assert background.failure == "the background task 'short' has ended"
        assert not ended.is_set()
    assert ended.is_set()

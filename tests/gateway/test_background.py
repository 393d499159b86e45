"""The gateway's background tasks: the first that ends by itself is logged, told by ``/livez``, and ends the process."""

import asyncio
import logging

import httpx
import pytest

from gateway.app import create_app, create_switchboard
from gateway.background import BackgroundTasks
from shared import logs
from shared.settings import GatewaySettings
from tests.gateway.exchange import Journalist


async def _raise(link):
    """Make the worker socket's next message an error."""

    async def receive():
        raise OSError("the worker socket is broken")

    link.receive = receive


async def _close(link):
    """Close the worker socket under its reader, which pyzmq then cancels."""
    await asyncio.sleep(0.05)
    link._socket.close()


@pytest.mark.parametrize("damage", [_raise, _close])
def test_a_broken_worker_socket_is_noticed(tmp_path, damage):
    """Whichever way the socket breaks: one error with its traceback, and a gateway that no longer says it is alive."""

    async def told():
        settings = GatewaySettings.defaults(run_dir=tmp_path)
        logs.configure(log_format="json", level="info", process="gateway")
        journalist = Journalist()
        logging.getLogger().handlers = [journalist]
        link, switchboard = create_switchboard(settings)
        background = BackgroundTasks()
        app = create_app(settings, link, switchboard, background)
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://a.example") as client,
            app.router.lifespan_context(app),
        ):
            assert (await client.get("/livez")).status_code == 200
            await damage(link)
            await asyncio.wait_for(background.failed.wait(), 5)
            answer = await client.get("/livez")
            assert (answer.status_code, answer.text) == (503, "the background task 'workers' has ended\n")
        (event,) = journalist.of("background_failed")
        assert event["task"] == "workers"
        assert event["exc_info"].__traceback__ is not None

    asyncio.run(told())


def test_tasks_that_are_stopped_have_not_failed():
    """The orderly end of all tasks is no failure; one that returns is, and the others go on."""

    async def told():
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

    asyncio.run(told())

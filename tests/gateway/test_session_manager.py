"""The session manager: resume tokens, and the end of the gateway."""

import asyncio

import pytest

from tests.gateway.exchange import Exchange
from tests.scripted_recognizer import say


def test_a_resume_token_is_bound_to_its_client():
    """A session is found by its token only, and only by the client with the same API token."""
    exchange = Exchange(workers=1).boot_all()
    client = exchange.client().join()
    token = client.client_session.resume_token
    assert exchange.manager.find(token, None) is client.client_session
    assert exchange.manager.find(token + "x", None) is None
    assert exchange.manager.find("", None) is None
    assert exchange.manager.find(token, "another token") is None


@pytest.mark.anyio
async def test_a_drain_flushes_every_session(gateway):
    """Each client gets its last words, then the close code of a restart; the drain ends with the last session."""
    sockets = [await gateway.connected() for _ in range(2)]
    for socket in sockets:
        socket.send(say(["one", "two"]).pcm.tobytes())
    await gateway.settle(1)
    draining = asyncio.create_task(gateway.manager.drain(60.0))
    await gateway.settle(12)
    for socket in sockets:
        assert [final["text"] for final in socket.of_type("final")] == ["one two"]
        assert socket.closed["code"] == 1012
    await asyncio.wait_for(draining, 5)
    assert gateway.exchange.statistics.outcomes == {"service_restart": 2}

"""Who is let in at ``/asr``: parameters, tokens, origins, and how many."""

import base64
import itertools

import pytest

pytestmark = pytest.mark.anyio


async def test_a_socket_is_accepted_before_anything_else(gateway):
    """The accept is the first message, needs no worker, and is logged with its time."""
    ticks = itertools.count()
    gateway.manager.clock = lambda: next(ticks) * 0.003
    socket = gateway.connect()
    await gateway.settle(1)
    assert socket.from_gateway[0]["type"] == "websocket.accept"
    name = socket.messages[0]["session"]
    assert f"Connection {name}: WebSocket accepted (3ms)" in [e["event"] for e in gateway.exchange.log.events]


async def test_a_path_that_the_router_takes_is_served(gateway):
    """A path with a line feed behind it is the same route: it is served, and raises nothing."""
    socket = gateway.connect(path="/asr\n")
    await gateway.settle(1)
    assert socket.messages[0]["type"] == "config"


async def test_the_first_message_is_the_config(gateway):
    """The config names the session, the model, its languages, and the token to resume it; four statuses follow."""
    socket = gateway.connect()
    await gateway.settle()
    config = socket.messages[0]
    assert (config["type"], config["useAudioWorklet"], config["mode"]) == ("config", True, "events")
    assert (config["model"], config["device"], config["languages"]) == ("scripted", "cpu", ["en", "fr"])
    assert (config["resumed"], config["received"]) == (False, 0)
    assert len(config["resume_token"]) >= 20
    statuses = ["Connected", "Allocating GPU...", "Loading models on GPU 0...", "Ready to transcribe"]
    assert [each["message"] for each in socket.of_type("status")] == statuses


TOKENS = {"api_tokens": ("right",)}

CODED = base64.urlsafe_b64encode(b"right").decode().rstrip("=")


@pytest.mark.parametrize(
    ("gateway", "query", "headers", "close_code", "word"),
    [
        ({}, "mode=diff", {}, 4400, "mode"),
        ({}, "language=klingon", {}, 4400, "klingon"),
        ({}, "language=" + "%E5%AD%97" * 90, {}, 4400, "language"),
        ({}, "last_seq=" + "9" * 5000, {}, 4400, "last_seq"),
        (TOKENS, "", {}, 4401, "token"),
        (TOKENS, "token=wrong", {}, 4401, "token"),
        (TOKENS, "", {"authorization": "Bearer wrong"}, 4401, "token"),
        ({}, "", {"origin": "https://b.example"}, 4403, "b.example"),
        ({}, "", {"origin": "http://["}, 4403, "ALLOWED_ORIGINS"),
    ],
    indirect=["gateway"],
)
async def test_a_refusal_says_why(gateway, query, headers, close_code, word):
    """A refused client gets a sentence that names what was wrong, then the close code, on an accepted socket."""
    socket = gateway.connect(query, headers=headers)
    await gateway.settle(1)
    assert socket.from_gateway[0]["type"] == "websocket.accept"
    (error,) = socket.messages
    assert error["type"] == "error"
    assert word in error["error"]
    assert socket.closed["code"] == close_code
    assert len(socket.closed["reason"].encode()) <= 123, "a close frame has no room for more"
    assert gateway.exchange.statistics.outcomes[error["code"]] == 1
    assert gateway.exchange.registry.used_slots() == 0


@pytest.mark.parametrize("gateway", [TOKENS], indirect=True)
@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ("token=right", {}),
        ("", {"headers": {"authorization": "Bearer right"}}),
        ("", {"subprotocols": ("whisperlive", f"token.{CODED}")}),
    ],
)
async def test_a_token_is_accepted_in_three_places(gateway, query, changes):
    """As Bearer, in a subprotocol and in the query; the subprotocol that the gateway selects holds no token."""
    socket = gateway.connect(query, **changes)
    await gateway.settle(2)
    assert socket.messages[0]["type"] == "config"
    assert socket.from_gateway[0]["subprotocol"] == ("whisperlive" if "subprotocols" in changes else None)


@pytest.mark.parametrize("gateway", [{"max_sockets": 2}], indirect=True)
async def test_sockets_are_limited(gateway):
    """Past the limit a client is told to try later; those that are connected stay."""
    first, second = gateway.connect(), gateway.connect()
    await gateway.settle(1)
    third = gateway.connect()
    await gateway.settle(1)
    assert third.closed["code"] == 1013
    assert third.messages[0]["error"] == "Too many connections are open"
    assert third.messages[0]["retry_after_s"] > 0
    second.close()
    await gateway.settle(1)
    assert gateway.endpoints.sockets == 1
    fourth = gateway.connect()
    await gateway.settle(2)
    assert fourth.closed is None
    assert first.closed is None


async def test_a_stopping_gateway_refuses_clients(gateway):
    """A client that connects while it stops is told that the service restarts."""
    gateway.manager.stopping = True
    socket = gateway.connect()
    await gateway.settle(1)
    assert socket.closed["code"] == 1012


@pytest.mark.parametrize("gateway", [{"api_tokens": ("s3cret-token",)}], indirect=True)
async def test_no_token_is_logged(gateway):
    """Neither client tokens nor resume tokens are in any event."""
    sockets = [gateway.connect("token=s3cret-token"), gateway.connect("token=another-s3cret")]
    await gateway.settle(2)
    resume_token = sockets[0].messages[0]["resume_token"]
    sockets[0].close(1006)
    await gateway.settle(1)
    gateway.connect(f"token=s3cret-token&resume={resume_token}")
    await gateway.settle(2)
    logged = repr(gateway.exchange.log.events)
    assert "s3cret" not in logged
    assert resume_token not in logged


@pytest.mark.parametrize("gateway", [{"max_sockets": 2}], indirect=True)
async def test_detached_sessions_count_against_the_limit(gateway):
    """Sessions that wait for their clients are limited too; a client that resumes one is let in."""
    away = [gateway.connect(), gateway.connect()]
    await gateway.settle()
    for socket in away:
        socket.close(1006)
    await gateway.settle()
    refused = gateway.connect()
    await gateway.settle()
    assert refused.closed["code"] == 1013
    back = gateway.connect(away[0].resume_query)
    gateway.connect(away[1].resume_query)
    await gateway.settle()
    assert back.messages[0]["resumed"]

"""``/asr`` without a network: who is let in, what a socket may bring, and how each conversation is closed."""

import asyncio
import base64
import itertools
import json

import pytest
from starlette.websockets import WebSocket

from gateway.protocols import PROTOCOLS
from gateway.transport.client_connection import BY_CLOSE_FRAME, TOO_BIG_BYTES
from gateway.transport.client_endpoint import ClientEndpoints
from shared.errors import RecognitionError
from shared.settings import GatewaySettings
from tests.gateway.exchange import Exchange
from tests.scripted_recognizer import say


class Peer:
    """The other end of one socket, as an ASGI server presents it."""

    def __init__(self, hall, query="", headers=None, subprotocols=(), path="/asr") -> None:
        lower = {"host": "a.example"} | (headers or {})
        if subprotocols:
            lower["sec-websocket-protocol"] = ", ".join(subprotocols)
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in lower.items()],
            "subprotocols": list(subprotocols),
        }
        self.incoming: asyncio.Queue[dict] = asyncio.Queue()
        self.outgoing: list[dict] = []
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(hall.endpoints.serve(WebSocket(scope, self.incoming.get, self._send)))

    async def _send(self, message) -> None:
        self.outgoing.append(message)
        if message["type"] == "websocket.close":  # uvicorn tells the application of its own close, too
            self.close(message["code"])

    def bring(self, *payloads) -> None:
        """Send binary or text messages."""
        for payload in payloads:
            kind = "text" if isinstance(payload, str) else "bytes"
            self.incoming.put_nowait({"type": "websocket.receive", kind: payload})

    def close(self, code=1000) -> None:
        """Close the socket, or with 1006 lose it."""
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code, BY_CLOSE_FRAME: code != 1006})

    @property
    def messages(self) -> list[dict]:
        """Return what has arrived."""
        return [json.loads(each["text"]) for each in self.outgoing if each["type"] == "websocket.send"]

    @property
    def closed(self) -> dict | None:
        """Return the server's close, if there was one."""
        return next((each for each in self.outgoing if each["type"] == "websocket.close"), None)

    def of(self, kind) -> list[dict]:
        """Return the messages of one type."""
        return [message for message in self.messages if message.get("type") == kind]


class Hall:
    """A gateway's door with workers behind it; runs until everything has come to rest."""

    def __init__(self, workers=1, protocols=PROTOCOLS, **settings) -> None:
        self.exchange = Exchange(workers=workers, lost_after_s=1e9).boot_all()
        self.endpoints = ClientEndpoints(GatewaySettings.defaults(**settings), self.exchange.manager, protocols)
        self.peers: list[Peer] = []

    def peer(self, query="mode=events", **changes) -> Peer:
        """Let somebody connect."""
        self.peers.append(Peer(self, query, **changes))
        return self.peers[-1]

    async def rest(self, rounds=6) -> None:
        """Let every task run and the workers work for a while."""
        for _ in range(rounds):
            for _ in range(25):
                await asyncio.sleep(0)
            self.exchange.run()

    async def empty(self) -> None:
        """Send everybody home."""
        for peer in self.peers:
            peer.close()
        await self.rest()
        for peer in self.peers:
            peer.task.cancel()
        await asyncio.gather(*(peer.task for peer in self.peers), return_exceptions=True)
        self.exchange.check()
        assert self.endpoints.sockets == 0
        assert self.exchange.manager.session_count == 0


def story(test):
    """Run an asynchronous test with a hall that is emptied at its end."""

    def run(**arguments):
        async def told():
            hall = Hall(**settings_of.get(test.__name__, {}))
            await test(hall, **arguments)
            await hall.empty()

        asyncio.run(told())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


settings_of = {
    "test_only_so_many_sockets": {"max_sockets": 2},
    "test_clients_that_are_away_count": {"max_sockets": 2},
    "test_secrets_are_nowhere_in_the_log": {"api_tokens": ("s3cret-token",)},
    "test_a_full_journal_leaves_the_socket_unread": {"journal_s": 40.0, "max_message_bytes": 32_000},
}


# --- coming in --------------------------------------------------------------------------------------------------


@story
async def test_the_socket_is_accepted_first(hall):
    """Accepting comes before everything else, takes no model, and is logged with its time."""
    ticks = itertools.count()
    hall.exchange.manager.clock = lambda: next(ticks) * 0.003
    peer = hall.peer()
    await hall.rest(1)
    assert peer.outgoing[0]["type"] == "websocket.accept"
    name = peer.messages[0]["session"]
    assert f"Connection {name}: WebSocket accepted (3ms)" in [e["event"] for e in hall.exchange.log.events]


@story
async def test_the_first_message_says_what_is_there(hall):
    """The config names the session, the model, its languages, and the token to come back with."""
    peer = hall.peer()
    await hall.rest()
    config = peer.messages[0]
    assert (config["type"], config["useAudioWorklet"], config["mode"]) == ("config", True, "events")
    assert (config["model"], config["device"], config["languages"]) == ("scripted", "cpu", ["en", "fr"])
    assert (config["resumed"], config["received"]) == (False, 0)
    assert len(config["resume_token"]) >= 20
    assert [each["message"] for each in peer.of("status")] == [
        "Connected",
        "Allocating GPU...",
        "Loading models on GPU 0...",
        "Ready to transcribe",
    ]


TOKENS = {"api_tokens": ("right",)}
CODED = base64.urlsafe_b64encode(b"right").decode().rstrip("=")


@pytest.mark.parametrize(
    ("settings", "query", "headers", "close_code", "word"),
    [
        ({}, "mode=diff", {}, 4400, "mode"),
        ({}, "task=sing", {}, 4400, "task"),
        ({}, "language=klingon", {}, 4400, "klingon"),
        ({}, "language=" + "%E5%AD%97" * 90, {}, 4400, "language"),
        ({}, "encoding=opus", {}, 4400, "encoding"),
        ({}, "colour=red", {}, 4400, "colour"),
        ({}, "last_seq=" + "9" * 5000, {}, 4400, "last_seq"),
        (TOKENS, "", {}, 4401, "token"),
        (TOKENS, "token=wrong", {}, 4401, "token"),
        (TOKENS, "", {"authorization": "Bearer wrong"}, 4401, "token"),
        ({}, "", {"origin": "https://b.example"}, 4403, "b.example"),
        ({}, "", {"origin": "http://["}, 4403, "ALLOWED_ORIGINS"),
    ],
)
def test_refusals_are_explained(settings, query, headers, close_code, word):
    """A refused client gets a sentence that names what was wrong, then the close code, on an accepted socket."""

    async def told():
        hall = Hall(**settings)
        peer = hall.peer(query, headers=headers)
        await hall.rest(1)
        assert peer.outgoing[0]["type"] == "websocket.accept"
        (error,) = peer.messages
        assert error["type"] == "error"
        assert word in error["error"]
        assert peer.closed["code"] == close_code
        assert len(peer.closed["reason"].encode()) <= 123, "a close frame has no room for more"
        assert hall.exchange.statistics.outcomes[error["code"]] == 1
        assert hall.exchange.registry.used_slots() == 0
        await hall.empty()

    asyncio.run(told())


@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ("token=right", {}),
        ("", {"headers": {"authorization": "Bearer right"}}),
        ("", {"subprotocols": ("whisperlive", f"token.{CODED}")}),
    ],
)
def test_a_token_opens_the_door(query, changes):
    """The token is taken as Bearer, in a subprotocol and in the query; the subprotocol that is selected holds none."""

    async def told():
        hall = Hall(**TOKENS)
        peer = hall.peer(query, **changes)
        await hall.rest(2)
        assert peer.messages[0]["type"] == "config"
        assert peer.outgoing[0]["subprotocol"] == ("whisperlive" if "subprotocols" in changes else None)
        await hall.empty()

    asyncio.run(told())


@story
async def test_only_so_many_sockets(hall):
    """Past the bound a client is told to try later; those who are in stay."""
    first, second = hall.peer(), hall.peer()
    await hall.rest(1)
    third = hall.peer()
    await hall.rest(1)
    assert third.closed["code"] == 1013
    assert third.messages[0]["retry_after_s"] > 0
    second.close()
    await hall.rest(1)
    assert hall.endpoints.sockets == 1
    fourth = hall.peer()
    await hall.rest(2)
    assert fourth.closed is None
    assert first.closed is None


@story
async def test_a_stopping_gateway_lets_nobody_in(hall):
    """Whoever comes while it stops is told that the service restarts."""
    hall.exchange.manager.stopping = True
    peer = hall.peer()
    await hall.rest(1)
    assert peer.closed["code"] == 1012


@story
async def test_secrets_are_nowhere_in_the_log(hall):
    """Neither client tokens nor resume tokens are in any event."""
    peers = [hall.peer("token=s3cret-token"), hall.peer("token=another-s3cret")]
    await hall.rest(2)
    resume_token = peers[0].messages[0]["resume_token"]
    peers[0].close(1006)
    await hall.rest(1)
    hall.peer(f"token=s3cret-token&resume={resume_token}")
    await hall.rest(2)
    logged = repr(hall.exchange.log.events)
    assert "s3cret" not in logged
    assert resume_token not in logged


# --- talking ----------------------------------------------------------------------------------------------------


@story
async def test_a_conversation(hall):
    """Audio in messages of any size, an empty one at the end: the words, the books, then a clean close."""
    peer = hall.peer()
    data = say(["one", "two", 0.6]).pcm.tobytes()
    peer.bring(data[:3], data[3:4], data[4:30_001], data[30_001:], b"")
    await hall.rest(12)
    assert [final["text"] for final in peer.of("final")] == ["one two"]
    end = peer.messages[-1]
    assert (end["type"], end["audio"]["received"], end["audio"]["dropped"]) == ("ready_to_stop", len(data) // 2, 0)
    peer.close()
    await hall.rest(1)
    (line,) = hall.exchange.log.of("session_closed")
    assert (line["outcome"], line["chunks"]) == ("complete", 4)


@story
async def test_chunks_are_the_clients_messages(hall):
    """A long message counts once, however it is cut on its way to the worker; the empty one does not count."""
    peer = hall.peer()
    peer.bring(bytes(5 * 32_000), bytes(2), b"")
    await hall.rest(12)
    peer.close()
    await hall.rest(1)
    assert hall.exchange.log.of("session_closed")[0]["chunks"] == 2


@story
async def test_text_in_the_stock_mode_is_an_error_and_no_end(hall):
    """A text frame kills no session: the client is told, and its audio goes on."""
    peer = hall.peer("")
    peer.bring("hello", say(["one", 1.0]).pcm.tobytes())
    await hall.rest(6)
    peer.bring('{"type": "finish"}', b"")
    await hall.rest(6)
    before, after = [message for message in peer.messages if "error" in message]
    assert (before["type"], before["code"]) == ("error", "bad_message")
    assert (after["status"], after["lines"][0]["text"]) == ("error", "one")
    assert peer.messages[-1]["type"] == "ready_to_stop"
    assert peer.messages[-2]["lines"][0]["text"] == "one"


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "null", '{"type": 5}', '{"type": "dance"}', "[" * 200_000, '{"type": ' + "9" * 5000 + "}"],
)
def test_a_control_that_is_none_is_named(text):
    """Garbage in a control message is answered with what is known; the session goes on."""

    async def told():
        hall = Hall()
        peer = hall.peer()
        peer.bring(text, '{"type": "keepalive"}')
        await hall.rest(3)
        (error,) = peer.of("error")
        assert error["code"] == "bad_message"
        assert len(error["error"]) < 400
        assert peer.closed is None
        await hall.empty()

    asyncio.run(told())


@story
async def test_a_finish_control_is_an_end(hall):
    """Our clients may say that this was all in words."""
    peer = hall.peer()
    peer.bring(say(["one", 0.6]).pcm.tobytes(), '{"type": "finish"}')
    await hall.rest(12)
    assert peer.messages[-1]["type"] == "ready_to_stop"


@story
async def test_a_finalize_control_commits(hall):
    """What has been said becomes final at once, and the session goes on."""
    peer = hall.peer()
    peer.bring(say(["one", "two"]).pcm.tobytes(), '{"type": "finalize"}')
    await hall.rest(8)
    assert [final["text"] for final in peer.of("final")] == ["one two"]
    peer.bring(say(["river", 0.6]).pcm.tobytes(), b"")
    await hall.rest(8)
    assert [final["text"] for final in peer.of("final")] == ["one two", "river"]


@story
async def test_a_message_above_the_bound_ends_its_session(hall):
    """The server refuses it by its size; the session ends as too big with its books closed, and the neighbour stays."""
    peer, other = hall.peer(), hall.peer()
    await hall.rest(2)
    peer.bring(bytes(32_000))
    await hall.rest(2)
    peer.incoming.put_nowait(
        {"type": "websocket.disconnect", "code": 1009, BY_CLOSE_FRAME: True, TOO_BIG_BYTES: 40_000_000}
    )
    await hall.rest(2)
    (line,) = hall.exchange.log.of("session_closed")
    assert (line["outcome"], line["received"]) == ("message_too_big", 16_000)
    assert line["received"] == line["transcribed"] + line["silence"] + line["dropped"]
    assert hall.exchange.statistics.outcomes["message_too_big"] == 1
    assert (hall.exchange.manager.session_count, hall.exchange.registry.used_slots()) == (1, 1)
    assert other.closed is None


@pytest.mark.parametrize("held_back", [False, True], ids=["nothing to send", "a state that must wait"])
def test_the_writer_sleeps_while_audio_comes(held_back):
    """Thousands of messages with nothing new to send do not wake the writer; what is said then is sent at once."""

    async def told():
        hall = Hall()
        peer = hall.peer()
        await hall.rest(2)
        (client_session,) = hall.exchange.manager.client_sessions
        outbox, rounds = client_session.send_queue, 0
        if held_back:
            outbox.enqueue_latest("large", lambda: {"text": "x" * 1_000_000})
            client_session.notify_writer()
            await hall.rest(1)
            outbox.enqueue_latest("large", lambda: {"text": "later"})
            client_session.notify_writer()
            await hall.rest(1)
            assert outbox.waiting == 1
        pop = outbox.pop

        def counted(now):
            nonlocal rounds
            rounds += 1
            return pop(now)

        outbox.pop = counted
        for _ in range(5000):
            peer.bring(bytes(4))
            for _ in range(3):
                await asyncio.sleep(0)
        assert client_session.session.received == 10_000
        assert rounds <= 3
        outbox.enqueue({"type": "news"})
        client_session.notify_writer()
        for _ in range(5):
            await asyncio.sleep(0)
        assert peer.of("news")
        await hall.empty()

    asyncio.run(told())


@story
async def test_a_full_journal_leaves_the_socket_unread(hall):
    """While nothing is decoded no more is read than the bound and two messages; then everything is, and nothing is lost."""
    peer = hall.peer()
    await hall.rest(2)
    worker = hall.exchange.workers[0]
    worker.frozen = True
    speech = say(["one", "two", 0.6] * 50)
    data = speech.pcm.tobytes()
    peer.bring(*(data[at : at + 32_000] for at in range(0, len(data), 32_000)), b"")
    await hall.rest(3)
    (client_session,) = hall.exchange.manager._sessions.values()
    assert client_session.session.received == 40 * 16_000
    assert peer.incoming.qsize() >= (len(data) - 40 * 32_000) // 32_000 - 3
    worker.frozen = False
    await hall.rest(200)
    assert peer.messages[-1]["audio"]["received"] == len(speech.pcm)
    assert len(peer.of("final")[0]["words"]) >= 1
    assert sum(len(final["words"]) for final in peer.of("final")) == 100


# --- coming back ------------------------------------------------------------------------------------------------


@story
async def test_a_lost_network_is_no_end(hall):
    """The client comes back with its token, learns what has arrived, and goes on; nothing is said twice."""
    data = say(["one", "two", "river", 0.6]).pcm.tobytes()
    first = hall.peer()
    first.bring(data[:20_000])
    await hall.rest(4)
    token, seq = first.messages[0]["resume_token"], first.messages[-1]["seq"]
    first.close(1006)
    await hall.rest(2)
    assert hall.exchange.manager.session_count == 1
    second = hall.peer(f"mode=events&resume={token}&last_seq={seq}")
    await hall.rest(2)
    config = second.messages[0]
    assert (config["resumed"], config["received"], config["resume_token"]) == (True, 10_000, token)
    second.bring(data[20_000:], b"")
    await hall.rest(12)
    assert " ".join(final["text"] for final in [*first.of("final"), *second.of("final")]) == "one two river"
    assert second.messages[-1]["audio"] == {"received": len(data) // 2} | {
        key: second.messages[-1]["audio"][key] for key in ("transcribed", "silence")
    } | {"dropped": 0}
    assert all(message["seq"] > seq for message in second.messages)


@story
async def test_clients_that_are_away_count(hall):
    """Sessions kept for their clients' return are bounded too; who comes back for one of them gets in."""
    away = [hall.peer(), hall.peer()]
    await hall.rest()
    for peer in away:
        peer.close(1006)
    await hall.rest()
    refused = hall.peer()
    await hall.rest()
    assert refused.closed["code"] == 1013
    back = hall.peer(f"mode=events&resume={away[0].messages[0]['resume_token']}")
    hall.peer(f"mode=events&resume={away[1].messages[0]['resume_token']}")
    await hall.rest()
    assert back.messages[0]["resumed"]


@story
async def test_the_newest_socket_wins(hall):
    """Of two sockets of one session the older is told that it was replaced, and closed."""
    first = hall.peer()
    await hall.rest(2)
    second = hall.peer(f"mode=events&resume={first.messages[0]['resume_token']}")
    await hall.rest(2)
    assert first.closed["code"] == 4409
    assert first.of("error")[0]["code"] == "replaced"
    assert (second.messages[0]["resumed"], second.closed) == (True, None)
    assert hall.exchange.manager.session_count == 1


@story
async def test_an_unknown_token_is_a_fresh_session(hall):
    """A token from before a restart is no error: the client starts anew and knows it."""
    peer = hall.peer("mode=events&resume=long-forgotten&last_seq=17")
    await hall.rest(2)
    assert (peer.messages[0]["resumed"], peer.messages[0]["received"]) == (False, 0)


@story
async def test_an_error_told_and_closed_has_no_grace(hall):
    """Once the server has said why and closed, the session is over and its books are closed at once."""
    peer = hall.peer()
    await hall.rest(2)
    (client_session,) = hall.exchange.manager.client_sessions
    hall.exchange.manager.execute(client_session, client_session.session.stop(RecognitionError("It failed")))
    await hall.rest(2)
    assert peer.closed["code"] == 1011
    assert hall.exchange.manager.session_count == 0


@story
async def test_a_page_that_is_loaded_anew_has_a_grace(hall):
    """A page that goes away closes with 4000, which is no goodbye: the next one goes on with the session."""
    first = hall.peer()
    await hall.rest(2)
    first.bring(bytes(32_000))
    await hall.rest(2)
    first.close(4000)
    await hall.rest(1)
    assert hall.exchange.manager.session_count == 1
    second = hall.peer(f"mode=events&resume={first.messages[0]['resume_token']}&last_seq={first.messages[-1]['seq']}")
    await hall.rest(2)
    assert (second.messages[0]["resumed"], second.messages[0]["received"]) == (True, 16_000)


@story
async def test_a_clean_close_has_no_grace(hall):
    """Who closes the socket has left: the slot is free at once, and the token is worth nothing."""
    first = hall.peer()
    await hall.rest(2)
    first.close(1000)
    await hall.rest(1)
    assert (hall.exchange.manager.session_count, hall.exchange.registry.used_slots()) == (0, 0)
    second = hall.peer(f"mode=events&resume={first.messages[0]['resume_token']}")
    await hall.rest(2)
    assert second.messages[0]["resumed"] is False


@pytest.mark.parametrize("reason", [{}, {"reason": ""}], ids=["no reason", "an empty reason"])
@pytest.mark.parametrize("by_close_frame", [False, True])
def test_a_goodbye_is_told_from_a_broken_network_by_name(by_close_frame, reason):
    """With the code 1005, which stands for both, a close frame ends the session, and a broken network does not."""

    async def told():
        hall = Hall()
        peer = hall.peer()
        await hall.rest(2)
        peer.incoming.put_nowait(
            {"type": "websocket.disconnect", "code": 1005, BY_CLOSE_FRAME: by_close_frame, **reason}
        )
        await hall.rest(1)
        assert hall.exchange.manager.session_count == (0 if by_close_frame else 1)
        hall.peer(f"mode=events&resume={peer.messages[0]['resume_token']}")
        await hall.rest(1)
        await hall.empty()

    asyncio.run(told())

"""What a client's socket may send, how its session ends, and how it is resumed."""

import asyncio

import pytest

from gateway.transport.client_connection import TOO_BIG_BYTES
from shared.errors import RecognitionError
from tests.scripted_recognizer import say

pytestmark = pytest.mark.anyio


async def test_a_whole_session(gateway):
    """Audio in messages of any size, then an empty one: the words, the accounting, a clean close; each counts once."""
    socket = gateway.connect()
    data = say(["one", "two", 5.0]).pcm.tobytes()
    socket.send(data[:3], data[3:4], data[4:30_001], data[30_001:], b"")
    await gateway.settle(12)
    assert [final["text"] for final in socket.of_type("final")] == ["one two"]
    end = socket.messages[-1]
    assert (end["type"], end["audio"]["received"], end["audio"]["dropped"]) == ("ready_to_stop", len(data) // 2, 0)
    socket.close()
    await gateway.settle(1)
    (line,) = gateway.exchange.log.of("session_closed")
    assert (line["outcome"], line["chunks"]) == ("complete", 4)


async def test_text_in_full_mode_is_an_error_and_does_not_end_the_session(gateway):
    """The client is told, and its audio is transcribed all the same."""
    socket = gateway.connect("")
    socket.send("hello", say(["one", 1.0]).pcm.tobytes())
    await gateway.settle(6)
    socket.send('{"type": "finish"}', b"")
    await gateway.settle(6)
    before, after = [message for message in socket.messages if "error" in message]
    assert (before["type"], before["code"]) == ("error", "bad_message")
    assert (after["status"], after["lines"][0]["text"]) == ("error", "one")
    assert socket.messages[-1]["type"] == "ready_to_stop"
    assert socket.messages[-2]["lines"][0]["text"] == "one"


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "null", '{"type": 5}', '{"type": "dance"}', "[" * 200_000, '{"type": ' + "9" * 5000 + "}"],
)
async def test_an_invalid_control_message_is_answered(gateway, text):
    """The answer is an error that names what was wrong; the session goes on."""
    socket = gateway.connect()
    socket.send(text, '{"type": "keepalive"}')
    await gateway.settle(3)
    (error,) = socket.of_type("error")
    assert error["code"] == "bad_message"
    assert len(error["error"]) < 400
    assert socket.closed is None


async def test_a_finish_message_ends_the_audio(gateway):
    """``finish`` does what an empty binary message does."""
    socket = gateway.connect()
    socket.send(say(["one", 0.6]).pcm.tobytes(), '{"type": "finish"}')
    await gateway.settle(12)
    assert socket.messages[-1]["type"] == "ready_to_stop"


async def test_a_finalize_message_commits(gateway):
    """Everything received becomes final at once, and the session goes on."""
    socket = gateway.connect()
    socket.send(say(["one", "two"]).pcm.tobytes(), '{"type": "finalize"}')
    await gateway.settle(8)
    assert [final["text"] for final in socket.of_type("final")] == ["one two"]
    socket.send(say(["river", 0.6]).pcm.tobytes(), b"")
    await gateway.settle(8)
    assert [final["text"] for final in socket.of_type("final")] == ["one two", "river"]


async def test_a_message_above_the_limit_ends_its_session(gateway):
    """The session ends as ``message_too_big`` with its audio accounted for; other sessions go on."""
    socket, other = await gateway.connected(), await gateway.connected()
    socket.send(bytes(32_000))
    await gateway.settle(2)
    socket.close(1009, **{TOO_BIG_BYTES: 40_000_000})
    await gateway.settle(2)
    (line,) = gateway.exchange.log.of("session_closed")
    assert (line["outcome"], line["received"]) == ("message_too_big", 16_000)
    assert line["received"] == line["transcribed"] + line["silence"] + line["unclear"] + line["dropped"]
    assert gateway.exchange.statistics.outcomes["message_too_big"] == 1
    assert (gateway.manager.session_count, gateway.exchange.registry.used_slots()) == (1, 1)
    assert other.closed is None


@pytest.mark.parametrize("held_back", [False, True], ids=["nothing to send", "a state that must wait"])
async def test_audio_does_not_wake_the_writer(gateway, held_back):
    """Thousands of messages in with nothing to send out wake it not once; what is enqueued then is sent at once."""
    socket = await gateway.connected()
    (client_session,) = gateway.manager.client_sessions
    send_queue, rounds = client_session.send_queue, 0
    if held_back:
        send_queue.enqueue_latest("large", lambda: {"text": "x" * 1_000_000})
        client_session.notify_writer()
        await gateway.settle(1)
        send_queue.enqueue_latest("large", lambda: {"text": "later"})
        client_session.notify_writer()
        await gateway.settle(1)
        assert send_queue.waiting == 1
    pop = send_queue.pop

    def counted(now):
        nonlocal rounds
        rounds += 1
        return pop(now)

    send_queue.pop = counted
    for _ in range(5000):
        socket.send(bytes(4))
        for _ in range(3):
            await asyncio.sleep(0)
    assert client_session.session.received == 10_000
    assert rounds <= 3
    send_queue.enqueue({"type": "news"})
    client_session.notify_writer()
    for _ in range(5):
        await asyncio.sleep(0)
    assert socket.of_type("news")


@pytest.mark.parametrize("gateway", [{"journal_s": 40.0, "max_message_bytes": 32_000}], indirect=True)
async def test_a_full_journal_stops_the_reader(gateway):
    """While nothing is decoded no more is read than the limit and two messages; then everything is, and nothing is lost."""
    socket = await gateway.connected()
    worker = gateway.exchange.workers[0]
    worker.frozen = True
    speech = say(["one", "two", 0.6] * 50)
    data = speech.pcm.tobytes()
    socket.send(*(data[at : at + 32_000] for at in range(0, len(data), 32_000)), b"")
    await gateway.settle(3)
    (client_session,) = gateway.manager.client_sessions
    assert client_session.session.received == 40 * 16_000
    assert socket.to_gateway.qsize() >= (len(data) - 40 * 32_000) // 32_000 - 3
    worker.frozen = False
    await gateway.settle(200)
    assert socket.messages[-1]["audio"]["received"] == len(speech.pcm)
    assert sum(len(final["words"]) for final in socket.of_type("final")) == 100


async def test_a_session_outlives_its_socket(gateway):
    """A client whose network broke resumes, learns what has arrived, and sends on from there; no message comes twice."""
    data = say(["one", "two", "river", 0.6]).pcm.tobytes()
    first = gateway.connect()
    first.send(data[:20_000])
    await gateway.settle(4)
    token, seq = first.messages[0]["resume_token"], first.messages[-1]["seq"]
    first.close(1006)
    await gateway.settle(2)
    assert gateway.manager.session_count == 1
    second = await gateway.connected(f"mode=events&resume={token}&last_seq={seq}")
    config = second.messages[0]
    assert (config["resumed"], config["received"], config["resume_token"]) == (True, 10_000, token)
    second.send(data[20_000:], b"")
    await gateway.settle(12)
    assert " ".join(final["text"] for final in [*first.of_type("final"), *second.of_type("final")]) == "one two river"
    audio = second.messages[-1]["audio"]
    assert (audio["received"], audio["dropped"]) == (len(data) // 2, 0)
    assert all(message["seq"] > seq for message in second.messages)


async def test_the_newest_socket_wins(gateway):
    """The older of two sockets of one session is told that it was replaced, and closed."""
    first = await gateway.connected()
    second = await gateway.connected(first.resume_query)
    assert first.closed["code"] == 4409
    assert first.of_type("error")[0]["code"] == "replaced"
    assert (second.messages[0]["resumed"], second.closed) == (True, None)
    assert gateway.manager.session_count == 1


async def test_an_unknown_resume_token_starts_a_new_session(gateway):
    """A token from before a restart is no error; the config says that nothing was resumed."""
    socket = await gateway.connected("mode=events&resume=long-forgotten&last_seq=17")
    assert (socket.messages[0]["resumed"], socket.messages[0]["received"]) == (False, 0)


async def test_a_session_that_failed_is_not_kept(gateway):
    """Once the gateway has sent the error and closed, the session is gone."""
    socket = await gateway.connected()
    (client_session,) = gateway.manager.client_sessions
    gateway.manager.execute(client_session, client_session.session.stop(RecognitionError("It failed")))
    await gateway.settle(2)
    assert socket.closed["code"] == 1011
    assert gateway.manager.session_count == 0


@pytest.mark.parametrize(
    ("code", "by_close_frame", "extra", "kept"),
    [
        (1000, True, {}, False),
        (1005, True, {}, False),
        (1005, True, {"reason": ""}, False),
        (1005, False, {}, True),
        (1005, False, {"reason": ""}, True),
        (4000, True, {}, True),
    ],
)
async def test_a_close_frame_ends_the_session(gateway, code, by_close_frame, extra, kept):
    """It frees the slot at once, except that of a page being reloaded (4000); a broken network keeps the session."""
    first = await gateway.connected()
    first.send(bytes(32_000))
    await gateway.settle(2)
    first.close(code, by_close_frame=by_close_frame, **extra)
    await gateway.settle(1)
    assert gateway.manager.session_count == int(kept)
    assert kept or gateway.exchange.registry.used_slots() == 0
    second = await gateway.connected(f"{first.resume_query}&last_seq={first.messages[-1]['seq']}")
    assert (second.messages[0]["resumed"], second.messages[0]["received"]) == (kept, 16_000 if kept else 0)

"""Gateway and workers as real processes over real sockets; the recognizer reads words written into the audio."""

import asyncio
import base64
import contextlib
import itertools
import random
import re
import time

import pytest
from websockets.exceptions import ConnectionClosed

from tests.scripted_recognizer import say
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SENTENCE = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver"]
TEXT = " ".join(SENTENCE)


@pytest.fixture(scope="module")
def server(start_server):
    """Give four workers with four slots each."""
    return start_server(STEP_MIN_S="0.2")


@pytest.fixture(scope="module")
def guarded(start_server):
    """Give a server that asks for a token and logs all it has."""
    return start_server(
        workers=1, API_TOKENS=f"{TOKEN},another", LOG_LEVEL="debug", ALLOWED_ORIGINS="https://friend.example"
    )


TOKEN = "s3cret/+token-of-a-client"
CODED = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")


@pytest.fixture(autouse=True)
def _no_session_left(request):
    """Begin the next test when no session of this one is left."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").wait_loads(0, 0, 0, 0)


# --- words --------------------------------------------------------------------------------------------------


async def test_a_session_in_both_modes(server):
    """Statuses in order, a tail, committed words, the end with balanced books; then the server closes with 1000 itself."""
    speech = say([*SENTENCE, 1.0, "one", "two", "three", 0.5])

    async def session(mode):
        async with Talk(server, mode=mode) as talk:
            await talk.ready()
            await talk.send(speech.pcm.tobytes(), real_time=True)
            await talk.finish()
            books = await talk.done()
            done = time.monotonic()
            assert await talk.ended() == 1000
            assert 3.0 < time.monotonic() - done < 30.0
        return talk, books

    (events, *books), (full, *others) = await asyncio.gather(session("events"), session("full"))
    for each in (*books, *others):
        assert each["received"] == len(speech.pcm)
        assert each["silence"] > 0 == each["dropped"]

    assert events.text == full.text == f"{TEXT} one two three"
    assert any(message["tail"] for message in events.of("partial"))
    assert [message["text"] for message in events.of("final")] == [TEXT, "one two three"]
    for message in events.of("final"):
        assert [word["word"].strip() for word in message["words"]] == message["text"].split()
        assert all(word["start"] < word["end"] and 0 < word["probability"] <= 1 for word in message["words"])
    assert events.of("ack")[-1]["received"] > 0
    config = events.messages[0]
    assert (config["model"], config["device"], config["useAudioWorklet"]) == ("scripted", "cpu", True)

    states = full.of(None)
    assert any(state["buffer_transcription"] for state in states)
    assert all(state["lines"] == [] and state["status"] == "no_audio_detected" for state in states[:4])
    (line,) = states[-1]["lines"]
    assert line["speaker"] == 1
    assert all(re.fullmatch(r"\d+:\d\d:\d\d\.\d\d", line[key]) for key in ("start", "end"))


async def test_finalize_commits_and_goes_on(server):
    """After ``finalize`` everything said is final while the session goes on; ``finish`` ends it."""
    async with Talk(server) as talk:
        await talk.send(say(SENTENCE[:4]).pcm.tobytes())
        await talk.control('{"type":"finalize"}')
        await talk.until(lambda talk: talk.of("final") and talk.text == " ".join(SENTENCE[:4]))
        await talk.send(say(SENTENCE[4:]).pcm.tobytes())
        await talk.control('{"type":"finish"}')
        await talk.done()
        assert talk.text == TEXT


async def test_sessions_never_mix(server):
    """Sixteen sessions at once, each with its own words, each get exactly theirs."""
    plain = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver", "garden", "music", "north"]
    scripts = [random.Random(number).choices(plain, k=12) for number in range(16)]

    async def session(number):
        async with Talk(server, mode="events" if number % 2 else "full") as talk:
            await talk.ready()
            text = await talk.say(say(scripts[number]), size=1111 + 2 * number)
            return talk.messages[0]["session"], text

    results = await asyncio.gather(*map(session, range(16)))
    assert [text for _, text in results] == [" ".join(script) for script in scripts]
    assert len({name for name, _ in results}) == 16


# --- who may come in ----------------------------------------------------------------------------------------


async def test_tokens(guarded):
    """A token is taken in a header, a subprotocol or the query, from an allowed origin too; without a right one it is 4401."""
    ways = [
        {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"subprotocols": ["whisperlive", f"token.{CODED}"]},
        {"query": "&token=another", "origin": "https://friend.example"},
    ]
    for way in ways:
        async with Talk(guarded, **way) as talk:
            assert await talk.say(say(["apple"])) == "apple"
            assert talk.socket.subprotocol == ("whisperlive" if "subprotocols" in way else None)
    wrong = [
        {},
        {"additional_headers": {"Authorization": f"Bearer {TOKEN}x"}},
        {"subprotocols": ["whisperlive", f"token.{CODED[:-3]}"]},
        {"query": "&token=nother"},
    ]
    for way in wrong:
        async with Talk(guarded, **way) as talk:
            assert await talk.ended() == 4401
            assert [code for code, _ in talk.errors] == ["bad_token"]


def test_no_token_in_the_logs(guarded):
    """After all that, no token stands in any line of any process, as it is or encoded, nor does any query."""
    guarded.log.wait("connection_refused", code="bad_token")
    text = "".join(guarded.log.lines)
    assert "session_closed" in text
    for secret in (TOKEN, CODED, "another", "nother", "token="):
        assert secret not in text


# --- wrong input harms no other session ------------------------------------------------------------------------


async def test_giant_messages(server):
    """A message above the bound ends its session with 1009 and both sizes; the neighbour hears nothing of it."""
    async with Talk(server) as neighbour, Talk(server) as giant, Talk(server) as text:
        for talk in (neighbour, giant, text):
            await talk.ready()
        before = server.get("/performance")["outcomes"].get("message_too_big", 0)
        for talk, message, size in (
            (giant, bytes(2**20 + 2), "1048578"),
            (text, '{"type":"' + "x" * 2**20 + '"}', "1048587"),
        ):
            with contextlib.suppress(ConnectionClosed):  # it may be refused while it is still being sent
                await talk.socket.send(message)
            assert await talk.ended() == 1009
            assert size in talk.socket.close_reason
            assert "1048576" in talk.socket.close_reason
            closed = server.log.wait("session_closed", connection=talk.messages[0]["session"])
            assert closed["outcome"] == "message_too_big"
        assert server.get("/performance")["outcomes"]["message_too_big"] == before + 2
        assert await neighbour.say(say(SENTENCE)) == TEXT


# --- what the operator sees ---------------------------------------------------------------------------------


async def test_monitoring_while_sessions_run(server):
    """The endpoints tell of running sessions: which, where, with what memory, and as metrics."""
    async with Talk(server) as one, Talk(server) as two:
        names = {(await talk.ready()).messages[0]["session"] for talk in (one, two)}
        status = server.get("/gpu-status")
        assert (status["total_gpus"], status["total_connections"], status["max_connections_per_gpu"]) == (4, 2, 4)
        assert {name for gpu in status["gpus"] for name in gpu["connection_ids"]} == names
        for gpu in status["gpus"]:
            assert gpu["device"] == "cpu"
            assert 0 < gpu["allocated_memory_gb"] < gpu["total_memory_gb"]
        assert server.get("/health")["gpus"] == {"total": 4, "with_connections": 2}
        lines = server.fetch("/metrics/prometheus").text.splitlines()
        assert [
            f'whisperlivekit_connections_active{{gpu="{gpu}"}} {used}'
            for gpu, used in enumerate(("1.0", "1.0", "0.0", "0.0"))
        ] == [line for line in lines if line.startswith("whisperlivekit_connections_active{")]


async def test_log_sentences(server):
    """One session's lines are the guide's sentences, with its values, in order."""
    async with Talk(server) as talk:
        await talk.say(say(SENTENCE))
        name = talk.messages[0]["session"]
    server.log.wait("session_closed", connection=name)
    said = [entry["event"] for entry in server.log.entries if entry.get("connection") == name]
    patterns = [
        rf"Connection {name}: WebSocket accepted \(\d+ms\)",
        rf"Allocated GPU 0 to connection {name}",
        rf"Connection {name}: GPU 0 allocated \(\d+ms\)",
        rf"Connection {name}: TranscriptionEngine loaded \(\d+ms\)",
        rf"Released GPU 0 from connection {name}",
        r"session closed",
    ]
    assert len(said) == len(patterns), said
    assert all(re.fullmatch(pattern, sentence) for pattern, sentence in zip(patterns, said, strict=True)), said


def test_setup_is_quick(server):
    """From the request to "Ready to transcribe" a session with its weights in place is there at once."""
    setups = [entry["setup_ms"] for entry in server.log.find("engine_loaded")]
    assert setups
    assert sorted(setups)[len(setups) // 2] < 5000
    assert all(a["accept_ms"] < 5000 for a in itertools.islice(server.log.find("websocket_accepted"), 100))

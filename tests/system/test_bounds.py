"""Real processes at their bounds: fast senders, slow readers, silent clients. The recognizer is scripted, and slow."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.scripted_recognizer import say
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MB = 2**20
JOURNAL_S = 35
SCRIPT = 60 * ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", 1.0]
FEW_BYTES = 4096


@pytest.fixture(scope="module")
def slow(start_server):
    """Give one worker whose every step takes a tenth of a second, and a gateway that keeps little audio."""
    return start_server(workers=1, recognizer={"step_s": 0.1}, JOURNAL_S=str(JOURNAL_S), SEND_LIMIT_S="15")


@pytest.fixture(scope="module")
def strict(start_server):
    """Give a server with short bounds of time."""
    return start_server(workers=1, IDLE_TIMEOUT_S="1", MAX_SESSION_S="4")


@pytest.fixture(scope="module")
def speech():
    """Return five minutes of speech."""
    return say(SCRIPT)


def narrow_socket(server):
    """Return a connection that takes little at once, so that the server sees what its reader leaves unread."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
    narrow.connect(("127.0.0.1", server.port))
    return narrow


class Memory:
    """Watches the gateway's memory; ``grown_mb`` is the most by which it grew."""

    def __init__(self, server):
        self._server = server
        self._start = server.gateway_memory_bytes()
        self._most = self._start
        self._stop = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.1):
            self._most = max(self._most, self._server.gateway_memory_bytes())

    @property
    def grown_mb(self):
        return (self._most - self._start) / MB


@pytest.fixture(scope="module")
def mute(slow, speech):
    """Have a client that sends minutes of speech and reads nothing, ever; give its connection's name and that moment."""
    known = {entry["connection"] for entry in slow.log.find("websocket_accepted")}
    options = {"compression": None, "ping_interval": None, "proxy": None, "max_queue": 1, "close_timeout": 0}
    with connect(f"ws://127.0.0.1:{slow.port}/asr", sock=narrow_socket(slow), **options) as client:
        slow.log.wait("websocket_accepted", count=len(known) + 1)
        (name,) = {entry["connection"] for entry in slow.log.find("websocket_accepted")} - known
        pcm = speech.pcm[: 120 * 16_000].tobytes()
        for at in range(0, len(pcm), 32_000):
            client.send(pcm[at : at + 32_000])
        client.send(b"")
        yield name


async def test_fast_sender_is_slowed(slow, speech, mute):
    """Five minutes of speech sent at once: the gateway takes in what it may hold, its memory stays small, every word comes."""
    with Memory(slow) as memory:
        async with Talk(slow) as talk:
            await talk.ready()
            await talk.send(speech.pcm.tobytes(), size=32_000)
            await talk.finish()
            books = await talk.done(limit_s=50)
            assert talk.text.split() == [word for word in SCRIPT if isinstance(word, str)]
    assert (books["received"], books["dropped"]) == (len(speech.pcm), 0)
    assert books["transcribed"] > books["silence"] > 0
    # No more is taken in than the journal holds, beside the pause that may follow the last committed word.
    waiting = [ack["received"] - ack["committed_until"] for ack in talk.of("ack")]
    assert 10 * 16_000 < max(waiting) < (JOURNAL_S + 2) * 16_000
    assert memory.grown_mb < 0.5 * len(speech.pcm) * 2 / MB


async def test_slow_readers(slow, speech):
    """Who reads nothing until all is over has lost no final, and the last state is the last word."""
    released = len(slow.log.find("gpu_released"))
    with Memory(slow) as memory:
        async with contextlib.AsyncExitStack() as stack:
            talks = [
                await stack.enter_async_context(
                    Talk(slow, mode=mode, reading=False, sock=narrow_socket(slow), max_queue=1)
                )
                for mode in ("events", "full")
            ]
            await asyncio.gather(*(talk.send(speech.pcm.tobytes(), size=32_000) for talk in talks))
            for talk in talks:
                await talk.finish()
            await asyncio.to_thread(slow.log.wait, "gpu_released", count=released + 2, limit_s=50)
            for talk in talks:
                talk.read()
            for talk in talks:
                await talk.done()
                assert talk.text.split() == [word for word in SCRIPT if isinstance(word, str)]
    assert memory.grown_mb < 20


async def test_limits_of_time(strict):
    """Who sends nothing is told so and disconnected with 4408; who only says that it is there may stay for the longest session."""
    async with Talk(strict) as idle, Talk(strict) as there:
        began = time.monotonic()
        await there.send(say(["apple", "river", 1.0]).pcm.tobytes())
        for talk, least_s, most_s, sentence in (
            (idle, 0.8, 2.5, "Nothing was received for 1 s"),
            (there, 3.8, 6.0, "The session reached its limit of 4 s"),
        ):
            ended = asyncio.create_task(talk.ended())
            while not ended.done():
                with contextlib.suppress(ConnectionClosed):  # the limit may come just before
                    await there.control('{"type":"keepalive"}')
                await asyncio.sleep(0.2)
            assert await ended == 4408
            assert least_s < time.monotonic() - began < most_s
            assert talk.errors == [("session_limit", sentence)]
        assert there.text == "apple river"


def test_client_that_never_reads_is_cut_off(slow, mute):
    """The client that has read nothing since its session's end is cut off, and has long given back its slot."""
    slow.log.wait("session_closed", connection=mute, limit_s=60)
    (closed,) = slow.log.find("session_closed", connection=mute)
    assert (closed["received"], closed["dropped"]) == (120 * 16_000, 0)
    assert slow.log.find("gpu_released", connection=mute)

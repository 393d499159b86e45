"""The client's network breaks under a session with real processes: `scripts/client` and the gateway go on together."""

import asyncio
import contextlib
import socket
import struct

import pytest
from whisper_live_client import connect
from whisper_live_client.events import Final, Partial

from tests.scripted_recognizer import say
from tests.system.server import Server

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

VERSE = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver", "garden", "music"]
POEM = [*VERSE, 0.7, *reversed(VERSE)]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s: closing sends RST and forgets what is on its way


class Network:
    """A TCP path to a port, not too fast, which can break; an async context manager."""

    def __init__(self, port: int, bytes_per_s: float = 1_000_000) -> None:
        self._port = port
        self._bytes_per_s = bytes_per_s
        self._channels: list[socket.socket] = []
        self.connections = 0
        self.down = False

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/asr"
        return self

    async def __aexit__(self, *_):
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection at both ends, whatever is on its way."""
        for writer in self._channels:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
        self._channels.clear()

    async def _join(self, reader, writer) -> None:
        if self.down:
            writer.transport.abort()
            return
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._channels += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader, writer) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(len(data) / self._bytes_per_s)
            writer.close()


async def blocks(pcm, size=3200):
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


async def transcribe(url, speech, *, on_message, paced=True, reconnect_s=20.0):
    """Have a session whose words and books must be whole whatever ``on_message`` does meanwhile."""
    async with asyncio.timeout(60), connect(url, reconnect_s=reconnect_s) as client:
        transcript = client.transcript
        async for event in client.stream(blocks(speech.pcm.tobytes()), realtime=paced):
            on_message(event, client)
    assert client.problem is None
    assert transcript.committed == speech.text.strip()
    assert transcript.violations == []
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    late_s = [abs(word.end_s - said.end / 16_000) for word, said in zip(transcript.words, speech.words, strict=True)]
    # A new gateway may begin within a word: of that one it has heard the end alone.
    assert sorted(late_s)[-2] < 0.01
    assert max(late_s) < 0.15
    assert transcript.first_sample + transcript.accounting.received == transcript.sent_samples == len(speech.pcm)
    assert (transcript.accounting.dropped, transcript.lost_samples) == (0, 0)
    return transcript


@pytest.fixture(scope="module")
def server(start_server):
    """Give two workers."""
    return start_server(workers=2, STEP_MIN_S="0.2")


@pytest.mark.parametrize(("paced", "at"), [(True, [3, 8, 14]), (False, [3, 30, 60])])
async def test_cut_while_words_flow(server, paced, at):
    """The connection is reset three times while audio flows, at its pace or faster: it is one session, whole."""
    speech = say(POEM if paced else [*POEM, 0.7] * 15)
    at = list(at)
    async with Network(server.port) as network:

        def cut(message, client):
            if at and isinstance(message, (Partial, Final)) and len(client.transcript.words) >= at[0]:
                at.pop(0)
                network.cut()

        transcript = await transcribe(network.url, speech, paced=paced, on_message=cut)
        assert (at, transcript.disconnects, network.connections) == ([], 3, 4)
        assert (transcript.first_sample, transcript.accounting.received) == (0, transcript.sent_samples)
    closed = await asyncio.to_thread(server.log.wait, "session_closed", connection=transcript.config.session)
    assert (closed["received"], closed["dropped"]) == (transcript.sent_samples, 0)


async def test_cut_after_the_end_marker(server):
    """The connection is reset while the last words are awaited: they come over the next one."""
    async with Network(server.port) as network:

        def cut(_message, client):
            if client.transcript.ended_s is not None and network.connections == 1:
                network.cut()

        transcript = await transcribe(network.url, say(POEM), paced=False, on_message=cut)
        assert transcript.disconnects == 1


async def test_away_for_longer_than_the_grace(tmp_path):
    """After the grace the session is gone: a fresh one hears what is not final, and the transcript has no seam."""
    with Server(tmp_path, workers=1, STEP_MIN_S="0.2", RESUME_GRACE_S="0.5") as own:
        own.start()
        async with Network(own.port) as network:
            waiting = []

            async def wait_for_its_end(session):
                await asyncio.to_thread(own.log.wait, "session_closed", connection=session)
                network.down = False
                return session

            def cut(message, client):
                if not waiting and isinstance(message, Final):
                    network.down = True
                    network.cut()
                    waiting.append(asyncio.create_task(wait_for_its_end(client.transcript.config.session)))

            transcript = await transcribe(network.url, say(POEM), on_message=cut)
            assert transcript.config.session != await waiting[0]
            assert transcript.first_sample > 0
        own.stop()


@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_gateway_restarted(tmp_path, how):
    """The gateway is stopped, or killed, under a session and started again: no word is lost or said twice."""
    with Server(tmp_path, workers=1, STEP_MIN_S="0.2") as own:
        own.start()
        restarts = []

        def restart(_message, client):
            if not restarts and len(client.transcript.committed.split()) >= 5:
                getattr(own.gateway, how)()
                restarts.append(asyncio.create_task(asyncio.to_thread(_again, own)))

        transcript = await transcribe(f"ws://127.0.0.1:{own.port}/asr", say(POEM), on_message=restart, reconnect_s=60)
        await restarts[0]
        assert transcript.disconnects == 1
        if how == "terminate":
            assert transcript.first_sample > 0
            own.stop()


def _again(server) -> None:
    server.gateway.wait()
    server.start_gateway()

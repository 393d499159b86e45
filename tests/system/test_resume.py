"""The client's network breaks under a session with real processes: `scripts/client` and the gateway go on together."""

import asyncio

import pytest
from whisper_live_client import connect
from whisper_live_client.events import Final, Partial

from tests.gateway.web.relay import Relay
from tests.scripted_recognizer import say
from tests.system.server import Server
from tests.system.sessions import VERSE

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SCRIPT = [*VERSE, 0.7, *reversed(VERSE)]
BYTES_PER_S = 1_000_000


async def blocks(pcm, size=3200):
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


async def transcribe(port, speech, *, on_message, paced=True, reconnect_s=20.0):
    """Have a session whose words and books must be whole whatever ``on_message`` does meanwhile."""
    async with asyncio.timeout(200), connect(f"ws://127.0.0.1:{port}/asr", reconnect_s=reconnect_s) as client:
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
    speech = say(SCRIPT if paced else [*SCRIPT, 0.7] * 15)
    at = list(at)
    with Relay(server.port, BYTES_PER_S) as network:

        def cut(message, client):
            if at and isinstance(message, (Partial, Final)) and len(client.transcript.words) >= at[0]:
                at.pop(0)
                network.break_once()

        transcript = await transcribe(network.port, speech, paced=paced, on_message=cut)
        assert (at, transcript.disconnects, network.connections) == ([], 3, 4)
        assert (transcript.first_sample, transcript.accounting.received) == (0, transcript.sent_samples)
    closed = await asyncio.to_thread(server.log.wait, "session_closed", connection=transcript.config.session)
    assert (closed["received"], closed["dropped"]) == (transcript.sent_samples, 0)


async def test_cut_after_the_end_marker(server):
    """The connection is reset while the last words are awaited: they come over the next one."""
    with Relay(server.port, BYTES_PER_S) as network:

        def cut(_message, client):
            if client.transcript.ended_s is not None and network.connections == 1:
                network.break_once()

        transcript = await transcribe(network.port, say(SCRIPT), paced=False, on_message=cut)
        assert transcript.disconnects == 1


async def test_away_for_longer_than_the_grace(tmp_path):
    """After the grace the session is gone: a fresh one hears what is not final, and the transcript has no seam."""
    with Server(tmp_path, workers=1, STEP_MIN_S="0.2", RESUME_GRACE_S="0.5") as own:
        own.start()
        with Relay(own.port, BYTES_PER_S) as network:
            waiting = []

            async def wait_for_its_end(session):
                await asyncio.to_thread(own.log.wait, "session_closed", connection=session)
                network.mend()
                return session

            def cut(message, client):
                if not waiting and isinstance(message, Final):
                    network.cut()
                    waiting.append(asyncio.create_task(wait_for_its_end(client.transcript.config.session)))

            transcript = await transcribe(network.port, say(SCRIPT), on_message=cut)
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

        transcript = await transcribe(own.port, say(SCRIPT), on_message=restart, reconnect_s=60)
        await restarts[0]
        assert transcript.disconnects == 1
        if how == "terminate":
            assert transcript.first_sample > 0
            own.stop()


def _again(server) -> None:
    server.gateway.wait()
    server.start_gateway()

"""Clients written for WhisperLiveKit: what its page and its test client do with ``/asr``, done here in the same way."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from shared.clips import load_clips
from tests.gateway.protocols.test_asr_full import FULL_KEYS
from tests.system.reading import word_errors

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CLIPS = load_clips()
PCM = CLIPS[1].pcm() + CLIPS[2].pcm()
TEXT = f"{CLIPS[1].text} {CLIPS[2].text}"
BYTES_PER_S = 32_000


def render(state: dict) -> str:
    """Return a state's text as such a client shows it: the lines that have text, then the buffer."""
    texts = [line["text"] for line in state.get("lines", []) if line.get("text")]
    return " ".join([*texts, *filter(None, [state.get("buffer_transcription", "")])])


async def converse(server, *, chunk_s: float, speed: float, query: str) -> list[dict]:
    """Send the clip and return all states until ``ready_to_stop``; the library's defaults are kept."""
    states = []
    async with connect(f"ws://127.0.0.1:{server.port}/asr{query}", proxy=None) as socket:
        config = json.loads(await socket.recv())
        assert config["type"] == "config"
        assert config["useAudioWorklet"] is True

        async def send():
            size = int(chunk_s * BYTES_PER_S)
            for at in range(0, len(PCM), size):
                await socket.send(PCM[at : at + size])
                await asyncio.sleep(chunk_s / speed if speed else 0)
            await socket.send(b"")

        async def receive():
            async for text in socket:
                message = json.loads(text)
                if message.get("type") == "ready_to_stop":
                    return
                states.append(message)
            pytest.fail("closed without ready_to_stop")

        await asyncio.wait_for(asyncio.gather(send(), receive()), 200)
    return states


async def test_sessions(real_server):
    """Clients of three kinds at once: each is told whole states, with a text that only grows, and at the end all words."""
    clients = [(0.5, 1.0, ""), (0.1, 0.0, "?language=en"), (2.0, 4.0, "?language=auto&mode=full")]
    sessions = [converse(real_server, chunk_s=chunk_s, speed=speed, query=query) for chunk_s, speed, query in clients]
    for (_, speed, _), states in zip(clients, await asyncio.gather(*sessions), strict=True):
        check_states(states, least=5 if speed == 1.0 else 1)


def check_states(states, least):
    """Check what a client is told: every state repeats the committed text of the one before; the last has all words."""
    committed = ""
    for state in states:
        assert state.keys() >= FULL_KEYS
        assert "type" not in state
        assert state["status"] in {"no_audio_detected", "active_transcription"}
        for line in state["lines"]:
            assert line.keys() >= {"speaker", "text", "start", "end"}
        # A page that redraws everything at each message never takes back what it showed in dark.
        now = " ".join(line["text"] for line in state["lines"])
        assert now.startswith(committed)
        committed = now
    last = states[-1]
    assert last["buffer_transcription"] == ""
    assert last["remaining_time_transcription"] == 0
    assert word_errors(TEXT, render(last)) < 0.15
    assert len({render(state) for state in states}) > least

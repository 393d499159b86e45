"""Fault 1 and newcomer 9: encoded audio was taken for silence."""

import io
import wave

import pytest

from tests.gateway.asr_harness import GatewayHarness
from tests.scripted_recognizer import say

pytestmark = pytest.mark.anyio


def wav(rate_hz=16_000, channels=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(bytes(3200))
    return file.getvalue()


@pytest.mark.parametrize("mode", ["full", "events"])
@pytest.mark.parametrize("cut", [1, 3, 3200])
@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"OggS\x00\x02", "Ogg"),
        (b"fLaC\x00", "FLAC"),
        (b"ID3\x04\x00", "MP3"),
        (b"\x00\x00\x00\x20ftypM4A ", "MP4"),
        (b"FORM\x00\x00\x10\x00AIFF", "AIFF"),
        (wav(44_100, 2), "WAV with 2 channels of 16 bits at 44100 Hz"),
    ],
)
async def test_fault_01_encoded_audio_is_named(mode, cut, head, name):
    """Relatives: other containers, other WAV formats, a signature that is split over messages."""
    gateway = GatewayHarness()
    socket = await gateway.connected(f"mode={mode}")
    data = head + bytes(100)
    socket.send(data[:cut], *(data[at : at + 50] for at in range(cut, len(data), 50)))
    await gateway.settle()
    assert socket.closed["code"] == 4415
    (error,) = [message for message in socket.messages if "error" in message]
    assert error["code"] == "bad_audio"
    assert name in error["error"]
    await gateway.shut_down()


@pytest.mark.parametrize("head", [b"", b"\x1a", b"ID", b"RIFF", wav()[:44]])
async def test_fault_01_pcm_is_never_accused(head):
    """Speech, bytes that begin like a signature, and a WAV file of the right format go on."""
    gateway = GatewayHarness()
    socket = await gateway.connected()
    socket.send(head + say(["apple", 1.0]).pcm.tobytes())
    await gateway.settle()
    assert socket.closed is None
    await gateway.shut_down()

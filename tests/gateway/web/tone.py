"""A steady tone as microphone: in what arrives, any lost, doubled or drifting sample shows as a phase."""

import array
import math
import wave
from pathlib import Path

TONE_HZ = 1_000
MICROPHONE_RATE = 48_000
SAMPLE_RATE = 16_000
LENGTH_S = 30
BLOCK_SAMPLES = 320
START_SAMPLES = SAMPLE_RATE // 2
"""The first half second is the device's start and the gain control's."""


def write(path: Path, amplitude: float = 8_000) -> Path:
    """Write a WAV of the tone and return its path; with amplitude 0 it is silence."""
    turn = 2 * math.pi * TONE_HZ / MICROPHONE_RATE
    samples = array.array("h", (round(amplitude * math.sin(turn * i)) for i in range(MICROPHONE_RATE * LENGTH_S)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE)
        file.writeframes(samples.tobytes())
    return path


def phases(audio: bytes | bytearray) -> list[float]:
    """Return the tone's phase in radians in each 20 ms of s16 audio at 16 kHz."""
    samples = array.array("h", bytes(audio))[START_SAMPLES:]
    result = []
    for begin in range(0, len(samples) - BLOCK_SAMPLES, BLOCK_SAMPLES):
        turn = [2 * math.pi * TONE_HZ * i / SAMPLE_RATE for i in range(BLOCK_SAMPLES)]  # a block is whole periods
        block = samples[begin : begin + BLOCK_SAMPLES]
        real = sum(value * math.cos(angle) for value, angle in zip(block, turn, strict=True))
        imaginary = sum(value * math.sin(angle) for value, angle in zip(block, turn, strict=True))
        result.append(math.atan2(imaginary, real))
    return result


def check(audio: bytes | bytearray) -> None:
    """Assert that the audio is one unbroken tone of some seconds; one sample too few or too many is a phase of 0.39."""
    found = phases(audio)
    assert len(found) > 100
    assert max(found) - min(found) < 0.1

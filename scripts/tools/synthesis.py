"""Speech made by espeak-ng, for measurements and tests that need certain words said."""

import shutil
import subprocess

import av
import numpy as np
from numpy.typing import NDArray

from shared.messages import SAMPLE_RATE

Pcm = NDArray[np.int16]

_WAV_HEADER_BYTES = 44
_ESPEAK_RATE = 22_050


class NoSynthesizerError(ValueError):
    """espeak-ng is not installed; the message says how to."""


def speak(text: str, *, voice: str = "en-us", words_per_minute: int = 160) -> Pcm:
    """Return ``text`` as it is said by one of espeak-ng's voices (`espeak-ng --voices`): s16 mono at 16 kHz.

    Raises:
        NoSynthesizerError: espeak-ng is missing.
        ValueError: it does not know the voice.
    """
    if shutil.which("espeak-ng") is None:
        raise NoSynthesizerError("espeak-ng is missing: apt install espeak-ng (brew install espeak-ng)")
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or len(done.stdout) <= _WAV_HEADER_BYTES:
        raise ValueError(f"espeak-ng: {done.stderr.decode(errors='replace').strip() or 'it said nothing'}")
    return _resampled(np.frombuffer(done.stdout[_WAV_HEADER_BYTES:], np.int16))


def pause(seconds: float) -> Pcm:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


def _resampled(pcm: Pcm) -> Pcm:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = _ESPEAK_RATE
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([made.to_ndarray().reshape(-1) for made in frames if made is not None])

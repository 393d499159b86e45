"""A GPU worker's process that hears a known word in every 0.4 s of speech, whatever is said there.

A microphone's samples come changed to the server (resampled, with gain), so words cannot be written into them. Here
the words depend on the position in the session alone: a gap in the audio moves every later word against the sound.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gpu_worker.__main__ import serve
from gpu_worker.recognizer import WindowRequest, WindowResult
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer, say

VERSE = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver", "garden", "music", "north", "candle"]
WORD_SAMPLES = 6_400


class PositionalRecognizer(ScriptedRecognizer):
    """Hears `VERSE` over and over."""

    def __init__(self) -> None:
        super().__init__()
        self._said = say(VERSE).pcm

    def transcribe(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Read the words that belong to each window's positions."""
        return super().transcribe([replace(request, pcm=self._sound(request)) for request in requests])

    def _sound(self, request: WindowRequest) -> np.ndarray:
        first = request.start - request.context
        return np.take(self._said, np.arange(first, first + len(request.pcm)), mode="wrap")


if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    asyncio.run(serve(settings, PositionalRecognizer(), device_memory.device_memory("cpu")))

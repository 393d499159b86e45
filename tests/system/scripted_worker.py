"""A GPU worker's process with the scripted recognizer in the model's place; everything else is the real one.

``RECOGNIZER`` is a JSON object with arguments of `ConfiguredRecognizer`.
"""

import asyncio
import json
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np

from gpu_worker.__main__ import serve
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer, say

COMMON_WORDS = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver", "garden", "music", "north", "candle"]  # fmt: skip
WORD_SAMPLES = 6_400


class ConfiguredRecognizer(ScriptedRecognizer):
    """Reads scripted words, as slowly and with the faults that it is told.

    Args:
        gpu_id: the worker's GPU.
        step_s: how long each step takes.
        load_s: how long the weights take, or a list of that by GPU.
        weights_mb: how much memory they take.
        keeps_weights: they stay in memory when they should leave the device.
        by_position: hear `COMMON_WORDS` over and over, by the place in the session alone: a microphone's samples come
            changed (resampled, with gain), so words cannot be written into them.
        raises: the GPUs on which every step raises.
        hangs: those on which none ends.
        stalls: those on which no load ends.
        deadly: a word that makes recognition raise kills the process.
    """

    def __init__(
        self, gpu_id, *, step_s=0.0, load_s=0.0, weights_mb=0, keeps_weights=False, by_position=False, raises=(),
        hangs=(), stalls=(), deadly=False,
    ):  # fmt: skip
        super().__init__(step_s=step_s)
        self._load_s = load_s[gpu_id] if isinstance(load_s, list) else load_s
        self._weights_bytes = weights_mb * 2**20
        self._keeps_weights = keeps_weights
        self._heard = say(COMMON_WORDS).pcm if by_position else None
        self._raises, self._hangs, self._stalls = (gpu_id in gpus for gpus in (raises, hangs, stalls))
        self._deadly = deadly
        self._weights = b""

    def load(self):
        """Take memory and time."""
        if self._stalls:
            threading.Event().wait()
        self._weights = self._weights or b"w" * self._weights_bytes
        time.sleep(self._load_s)
        super().load()

    def unload(self):
        """Give the memory back."""
        if not self._keeps_weights:
            self._weights = b""
        super().unload()

    def transcribe(self, requests):
        """Read the words, unless a fault is in the way."""
        if self._raises:
            raise RuntimeError("this device is broken")
        if self._hangs:
            threading.Event().wait()
        if self._heard is not None:
            requests = [replace(request, pcm=self._by_position(request)) for request in requests]
        results = super().transcribe(requests)
        if self._deadly and any(isinstance(result, Exception) for result in results):
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    def _by_position(self, request):
        first = request.start - request.context
        return np.take(self._heard, np.arange(first, first + len(request.pcm)), mode="wrap")


if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    recognizer = ConfiguredRecognizer(settings.gpu_id, **json.loads(os.environ.get("RECOGNIZER", "{}")))
    asyncio.run(serve(settings, recognizer, device_memory.device_memory("cpu")))
    os._exit(0)  # as the real one ends: a step that hangs must not hold it

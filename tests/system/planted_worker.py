"""A GPU worker's process for `scripts/verify_scaling`: its recognizer hears words in any sound, and its weights weigh.

``WORKER_PLANT`` is a JSON object with any of: ``load_s``, how long the weights take, by GPU number as text; ``keeps``,
whether they stay in memory when they should leave the device. Everything else is the real worker.
"""

import asyncio
import dataclasses
import json
import os
import time

import numpy as np

from gpu_worker.__main__ import serve
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer, say

WEIGHTS_BYTES = 64 * 2**20
SAID = say(["one", "two", "three", "four", "five", "six", "seven", "eight"]).pcm


class PlantedRecognizer(ScriptedRecognizer):
    """Hears one to eight over and over, by the place in the session alone, and has weights to load."""

    def __init__(self, *, load_s, keeps):
        super().__init__()
        self._load_s = load_s
        self._keeps = keeps
        self._weights = b""

    def load(self):
        """Take memory and time."""
        self._weights = self._weights or b"w" * WEIGHTS_BYTES
        time.sleep(self._load_s)
        super().load()

    def unload(self):
        """Give the memory back."""
        if not self._keeps:
            self._weights = b""
        super().unload()

    def transcribe(self, requests):
        """Hear what a scripted session would say at this place."""
        return super().transcribe([self._said(request) for request in requests])

    @staticmethod
    def _said(request):
        heard = len(request.pcm) - request.context
        places = (request.start + np.arange(heard)) % len(SAID)
        pcm = np.concatenate([np.zeros(request.context, np.int16), SAID[places]])
        return dataclasses.replace(request, pcm=pcm)


if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    plant = json.loads(os.environ.get("WORKER_PLANT", "{}"))
    load_s = plant.get("load_s", {}).get(str(settings.gpu_id), 0.05)
    recognizer = PlantedRecognizer(load_s=load_s, keeps=plant.get("keeps", False))
    asyncio.run(serve(settings, recognizer, device_memory.device_memory("cpu")))
    os._exit(0)

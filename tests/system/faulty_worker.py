"""A GPU worker's process whose scripted recognizer has faults; everything else is the real one.

``FAULTS`` is a JSON object with any of: ``raises`` and ``hangs``, lists of GPU numbers on which every step raises or
never ends; ``stalls``, those on which no load ends; ``load_s``, how long the weights take; ``step_s``, how long a step takes; ``deadly``, whether the word
`POISON` kills the process.
"""

import asyncio
import json
import os
import signal
import threading
import time

from gpu_worker.__main__ import serve
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer


class FaultyRecognizer(ScriptedRecognizer):
    """Reads scripted words, with the faults of one GPU."""

    def __init__(self, gpu_id, *, raises=(), hangs=(), stalls=(), load_s=0.0, step_s=0.0, deadly=False):
        super().__init__(step_s=step_s)
        self._raises = gpu_id in raises
        self._hangs = gpu_id in hangs
        self._stalls = gpu_id in stalls
        self._load_s = load_s
        self._deadly = deadly

    def load(self):
        """Take the time that it is told to, or for ever."""
        if self._stalls:
            threading.Event().wait()
        time.sleep(self._load_s)
        super().load()

    def transcribe(self, requests):
        """Read the words, unless a fault is in the way."""
        if self._raises:
            raise RuntimeError("this device is broken")
        if self._hangs:
            threading.Event().wait()
        results = super().transcribe(requests)
        if self._deadly and any(isinstance(result, Exception) for result in results):
            os.kill(os.getpid(), signal.SIGKILL)
        return results


if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    recognizer = FaultyRecognizer(settings.gpu_id, **json.loads(os.environ["FAULTS"]))
    asyncio.run(serve(settings, recognizer, device_memory.device_memory("cpu")))
    os._exit(0)  # as the real one ends: a step that hangs must not hold it

"""A GPU worker's process with real weights, whose recognizer has faults; everything else is the real one.

``RUN_DIR/faults/gpu<N>``, while it holds the word ``raise``, makes every step of that GPU raise. Audio that holds
`poisoned` samples kills the process that decodes it, whichever it is.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import numpy as np

from gpu_worker.__main__ import load, pin, serve
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings

POISON = np.tile(np.array([23_456, -12_345, 6_789], np.int16), 40)
"""Samples that no microphone brings."""


class FaultyRecognizer:
    """The real recognizer, but for what `transcribe` does beforehand."""

    def __init__(self, recognizer, fault: Path) -> None:
        self._recognizer = recognizer
        self._fault = fault

    def __getattr__(self, name):
        return getattr(self._recognizer, name)

    def transcribe(self, requests):
        """Decode, unless a fault is in the way."""
        if self._fault.exists() and self._fault.read_text() == "raise":
            raise RuntimeError("this device is broken")
        if any(POISON.tobytes() in request.pcm.tobytes() for request in requests):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._recognizer.transcribe(requests)


if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    device = pin(settings)
    recognizer = FaultyRecognizer(load(settings, device), settings.run_dir / "faults" / f"gpu{settings.gpu_id}")
    asyncio.run(serve(settings, recognizer, device_memory.device_memory(device)))
    sys.stdout.flush()
    os._exit(0)

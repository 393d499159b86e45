"""A GPU worker's process with the scripted recognizer in the model's place; everything else is the real one.

``SCRIPTED_STEP_S`` is how long each of its steps takes.
"""

import asyncio
import os

from gpu_worker.__main__ import serve
from gpu_worker.serving import device_memory
from shared import logs
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer

if __name__ == "__main__":
    settings = WorkerSettings.from_env(os.environ)
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    recognizer = ScriptedRecognizer(step_s=float(os.environ.get("SCRIPTED_STEP_S", "0")))
    asyncio.run(serve(settings, recognizer, device_memory.device_memory("cpu")))

"""Start a GPU worker: pin the device before torch is imported, load the model's host copy, serve."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gpu_worker.recognizer import Recognizer
from gpu_worker.serving import device_memory
from gpu_worker.serving.worker import Worker
from shared import logs
from shared.errors import ModelUnavailableError, SettingsError
from shared.settings import WorkerSettings

EXIT_CANNOT_START = 3
"""Exit code of a process that can never start: its supervisor does not try again."""


def main() -> int:
    """Run the worker and return its exit code."""
    try:
        settings = WorkerSettings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"gpu_worker: {error}\n")
        return EXIT_CANNOT_START
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gpu_worker", gpu=settings.gpu_id)
    try:
        device = pin(settings)
        recognizer = load(settings, device)
    except (ModelUnavailableError, SettingsError) as error:
        sys.stderr.write(f"gpu_worker {settings.gpu_id}: {error}\n")
        return EXIT_CANNOT_START
    asyncio.run(serve(settings, recognizer, device_memory.device_memory(device)))
    return 0


def pin(settings: WorkerSettings) -> str:
    """Choose the device and hide all others from torch.

    Raises:
        SettingsError: there is no such GPU.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(settings.gpu_id))
    try:
        found = settings.device != "cpu" and device_memory.has_gpu()
    except LookupError as error:
        raise SettingsError(f"DEVICE={settings.device!r}: {error}") from error
    if settings.device == "cuda" and not found:
        raise SettingsError("DEVICE='cuda': no NVIDIA GPU is found")
    return "cuda" if found else "cpu"


def load(settings: WorkerSettings, device: str) -> Recognizer:
    """Build the recognizer; only here, after pinning, torch is imported.

    Raises:
        ModelUnavailableError: there are no usable weights.
    """
    from gpu_worker.model import load_recognizer  # noqa: PLC0415 - CUDA reads its environment at import
    from gpu_worker.model.checkpoint.locate import default_cache_dir  # noqa: PLC0415

    cache_dir = Path(settings.model_cache_dir).expanduser() if settings.model_cache_dir else default_cache_dir()
    threads = settings.torch_threads or max(1, (os.cpu_count() or 1) // settings.gpu_workers)
    recognizer = load_recognizer(settings.whisper_model, cache_dir=cache_dir, device=device, threads=threads)
    # The first load of a process compiles kernels: do that now, not while the first client waits.
    recognizer.load()
    recognizer.unload()
    return recognizer


async def serve(settings: WorkerSettings, recognizer: Recognizer, memory: device_memory.DeviceMemory) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Worker(settings, recognizer, memory).run(stop)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a stuck step on the model's thread must not keep the process from ending

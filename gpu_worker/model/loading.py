"""Load a recognizer by a model's name."""

import os
import platform
from pathlib import Path

import torch

from gpu_worker.model.checkpoint import locate
from gpu_worker.model.nn.linear import Kind, Precision, cpu_precision
from gpu_worker.model.recognizer import Weights, WhisperRecognizer
from shared.errors import ModelUnavailableError

_CPU_MODEL = "tiny.en"
_CUDA_MODEL = "large-v3-turbo"


def default_model(device: str) -> str:
    """Return the model that suits a device: what a CPU keeps up with, or the best that a GPU runs live."""
    return _CUDA_MODEL if torch.device(device).type == "cuda" else _CPU_MODEL


def load_recognizer(model: str, *, cache_dir: Path, device: str, threads: int) -> WhisperRecognizer:
    """Find a model's weights and return a recognizer that is not loaded yet.

    Args:
        model: an official name or a checkpoint's path; empty for the device's default, on CUDA with the CPU's as
            second choice.
        cache_dir: where official models are kept.
        device: ``cpu`` or ``cuda``, as torch writes it.
        threads: how many threads torch may use in this process.

    Raises:
        ModelUnavailableError: there are no such weights; the message says where they were looked for.
    """
    # oneDNN keeps the code of 1024 shapes by default: half a gigabyte a worker. Read at its first product.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    torch.set_num_threads(threads)
    place = torch.device(device)
    name = model or default_model(device)
    try:
        file = locate.locate(name, cache_dir=cache_dir)
    except ModelUnavailableError:
        if model or name == _CPU_MODEL:
            raise
        name = _CPU_MODEL
        file = locate.locate(name, cache_dir=cache_dir)
    dims, state = locate.load_checkpoint(file)
    official = locate.official_name(name, file)
    return WhisperRecognizer(
        Weights(official or file.stem, official, file, dims, state),
        precision=precision_for(place, dims.n_audio_state),
        device=place,
        device_name=_device_name(place),
    )


def precision_for(device: torch.device, width: int) -> Precision:
    """Return the number types for a model of ``width``: measured on a CPU, half precision on a GPU."""
    if device.type != "cuda":
        return cpu_precision(width)
    kind: Kind = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return Precision(encoder=kind, decoder=kind, vocabulary=kind)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""Models for the comparison, each in the precision and with the encoder that is asked for (door: torch)."""

from pathlib import Path

import torch

from gpu_worker.model import weights
from gpu_worker.model.columns import EncoderSettings
from gpu_worker.model.linear import Precision, cpu_precision
from gpu_worker.model.whisper_recognizer import Weights, WhisperRecognizer


def read_weights(model: str) -> Weights:
    """Find a checkpoint.

    Raises:
        ModelUnavailableError: it cannot be had.
    """
    file: Path = weights.locate(model, cache_dir=weights.default_cache_dir())
    dims, state = weights.load_checkpoint(file)
    official = weights.official_name(model, file)
    return Weights(official or file.stem, official, file, dims, state)


def load(
    found: Weights, precision: Precision | None = None, encoder: EncoderSettings | None = None
) -> WhisperRecognizer:
    """Return a loaded model on the CPU; in the precision that a worker would choose, if none is named."""
    recognizer = WhisperRecognizer(
        found,
        precision=precision or cpu_precision(found.dims.n_audio_state),
        device=torch.device("cpu"),
        device_name="cpu",
        encoder=encoder,
    )
    recognizer.load()
    return recognizer

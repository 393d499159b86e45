"""Streams transcribed offline by the same weights (door: torch, whisper)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import whisper

from gpu_worker.model.checkpoint.locate import default_cache_dir, locate

from .corpus import Stream

# Whisper's log-mel is not level-invariant: utterances are raised to one peak, by 40 dB at most.
_PEAK = 0.3
_GAIN_LIMIT = 100.0


@dataclass(frozen=True, slots=True)
class OfflineTranscript:
    text: str
    language: str


def transcribe(
    model: str,
    streams: Sequence[Stream],
    language: str | None,
    on_stream: Callable[[int], None],
    *,
    task: str = "transcribe",
) -> dict[tuple[str, ...], OfflineTranscript]:
    """Transcribe every different stream with ``whisper.transcribe(temperature=0)``, levels equalised.

    Return what was found by a stream's key. ``on_stream`` is told the number of streams done; ModelUnavailableError if
    the checkpoint cannot be had.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recognizer = whisper.load_model(str(locate(model, cache_dir=default_cache_dir())), device=device)
    found: dict[tuple[str, ...], OfflineTranscript] = {}
    for stream in {stream.key: stream for stream in streams}.values():
        on_stream(len(found))
        spoken = language if recognizer.is_multilingual else "en"
        result = whisper.transcribe(
            recognizer, levelled(stream), temperature=0.0, language=spoken, task=task, fp16=device == "cuda"
        )
        found[stream.key] = OfflineTranscript(str(result["text"]), str(result["language"]))
    return found


def levelled(stream: Stream) -> npt.NDArray[np.float32]:
    """Return a stream's samples, every utterance raised to one peak."""
    audio = np.zeros(stream.samples, dtype=np.float32)
    for start, utterance in zip(stream.starts, stream.utterances, strict=True):
        samples = np.frombuffer(utterance.pcm, dtype="<i2", count=utterance.samples).astype(np.float32) / 32768.0
        peak = float(np.abs(samples).max(initial=0.0))
        gain = min(max(_PEAK / peak, 1.0), _GAIN_LIMIT) if peak else 1.0
        audio[start : start + utterance.samples] = samples * np.float32(gain)
    return audio

"""The same audio transcribed offline by the same weights (door: torch, whisper)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import whisper
from whisper_live_client.audio import BYTES_PER_SAMPLE

from gpu_worker.model.weights import ModelUnavailableError, default_cache_dir, locate

from .material import Stream, Utterance

__all__ = ["ModelUnavailableError", "Offline", "transcribe", "transcripts"]

# Whisper's log-mel is not level-invariant: utterances are raised to one peak, by 40 dB at most.
_PEAK = 0.3
_GAIN_LIMIT = 100.0


@dataclass(frozen=True, slots=True)
class Offline:
    """What a whole stream says, and the language it was taken for."""

    text: str
    language: str


def transcribe(
    model: str, streams: Sequence[Stream], language: str | None, on_stream: Callable[[int], None]
) -> dict[tuple[str, ...], str]:
    """Return the text of every different stream by its key; arguments and errors as for `transcripts`."""
    return {key: each.text for key, each in transcripts(model, streams, language, on_stream).items()}


def transcripts(
    model: str,
    streams: Sequence[Stream],
    language: str | None,
    on_stream: Callable[[int], None],
    *,
    task: str = "transcribe",
) -> dict[tuple[str, ...], Offline]:
    """Transcribe every different stream with ``whisper.transcribe(temperature=0)``, levels equalised.

    Args:
        model: a checkpoint's path or an official Whisper name.
        streams: what to transcribe; of equal ones only the first.
        language: a language code; detected where None.
        on_stream: told the number of streams done.
        task: ``transcribe``, or ``translate`` into English.

    Returns:
        What was found, by a stream's key.

    Raises:
        ModelUnavailableError: the checkpoint cannot be had.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recognizer = whisper.load_model(str(locate(model, cache_dir=default_cache_dir())), device=device)
    found: dict[tuple[str, ...], Offline] = {}
    for stream in {stream.key: stream for stream in streams}.values():
        on_stream(len(found))
        spoken = language if recognizer.is_multilingual else "en"
        result = whisper.transcribe(
            recognizer, _levelled(stream), temperature=0.0, language=spoken, task=task, fp16=device == "cuda"
        )
        found[stream.key] = Offline(str(result["text"]), str(result["language"]))
    return found


def _levelled(stream: Stream) -> npt.NDArray[np.float32]:
    return np.concatenate(list(_levelled_pieces(stream)))


def _levelled_pieces(stream: Stream) -> Iterator[npt.NDArray[np.float32]]:
    position = 0
    for start, utterance in zip(stream.starts, stream.utterances, strict=True):
        yield np.zeros(start - position, dtype=np.float32)
        yield _raised(utterance)
        position = start + utterance.samples


def _raised(utterance: Utterance) -> npt.NDArray[np.float32]:
    whole_bytes = utterance.samples * BYTES_PER_SAMPLE
    samples = np.frombuffer(utterance.pcm[:whole_bytes], dtype="<i2").astype(np.float32) / 32768.0
    peak = float(np.abs(samples).max(initial=0.0))
    gain = min(max(_PEAK / peak, 1.0), _GAIN_LIMIT) if peak else 1.0
    return samples * np.float32(gain)

"""Verify a checkpoint by use: it must transcribe the words of a clip that this project ships."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import whisper

from gpu_worker.model.checkpoint.load import load_checkpoint
from shared.clips import Clip, load_clips
from shared.errors import ModelUnavailableError

# Converted wrongly, a model writes nothing or nonsense; the smallest right one makes no mistake in these clips.
_MAX_ERROR_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Verification:
    """The words that a model wrote for one clip, compared with those that are said in it."""

    clip: Clip
    transcript: str
    errors: int
    words: int

    @property
    def passed(self) -> bool:
        """Return True if at most a fifth of the words are wrong."""
        return self.errors <= _MAX_ERROR_SHARE * self.words


def verify_checkpoint(path: Path) -> Verification:
    """Transcribe the first shipped clip with the checkpoint on the CPU, greedily, and count wrong words.

    Raises:
        ModelUnavailableError: The file is no usable checkpoint.
    """
    clip = load_clips()[0]
    dims, state = load_checkpoint(path)
    model = whisper.model.Whisper(dims)
    model.load_state_dict(state)
    model.eval()
    audio = np.frombuffer(clip.pcm(), np.int16).astype(np.float32) / 32768
    with torch.inference_mode():
        result = whisper.transcribe(model, audio, language="en", temperature=0.0, fp16=False)
    transcript = str(result["text"]).strip()
    spoken = normalised(clip.text)
    return Verification(clip, transcript, word_errors(spoken, normalised(transcript)), len(spoken))


def require(path: Path) -> None:
    """Raise `ModelUnavailableError` if the checkpoint does not transcribe a shipped clip correctly."""
    result = verify_checkpoint(path)
    if not result.passed:
        raise ModelUnavailableError(
            f"it hears {result.transcript[:120]!r} where {result.clip.text!r} is said"
            f" ({result.errors} of {result.words} wrong)"
        )


def normalised(text: str) -> list[str]:
    """Return the lower-case words of `text` without punctuation."""
    return re.sub(r"[^\w']+", " ", text.lower()).split()


def word_errors(spoken: list[str], written: list[str]) -> int:
    """Count the words to replace, insert or drop to turn one list into the other (Levenshtein's distance)."""
    row = list(range(len(written) + 1))
    for i, word in enumerate(spoken, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(written, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]

"""faster-whisper, where it is installed (door: faster_whisper)."""

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .agreement import HeardWord

_LOOP_RATIO = 2.4


class NotHereError(Exception):
    """faster-whisper cannot be had; the message says why."""


class FasterWhisper:
    """Hears one window with faster-whisper, on one thread, in 8 bits: its quickest on a CPU."""

    def __init__(self, model: str, language: str | None, threads: int) -> None:
        """Load a model: one of faster-whisper's names or a folder with a converted one.

        Raises:
            NotHereError: it is not installed, or has no such model.
        """
        try:
            module = importlib.import_module("faster_whisper")
        except ImportError as error:
            raise NotHereError(f"faster-whisper is not installed ({error})") from error
        try:
            self._model = module.WhisperModel(
                model, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=Path(model).is_dir()
            )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            line = str(error).strip().splitlines()[0]
            raise NotHereError(f"faster-whisper has no model {model!r}: {line}") from error
        self._language = language if self._model.model.is_multilingual else "en"

    def hear(self, audio: NDArray[np.float32], prompt: str) -> list[HeardWord] | None:
        """Return the words of a window; None of a loop."""
        found, _ = self._model.transcribe(
            audio,
            language=self._language,
            beam_size=1,
            temperature=0.0,
            initial_prompt=prompt or None,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = []
        for segment in found:
            if segment.compression_ratio > _LOOP_RATIO:
                return None
            words += [HeardWord(word.word, float(word.start), float(word.end)) for word in segment.words or ()]
        return words

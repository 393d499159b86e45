"""The seam between policy and model: the requests of a step and their results.

The policy (`gpu_worker.recognition`) knows nothing of torch; the model (`gpu_worker.model`) knows nothing of
sockets, sessions or commitment. Samples are 16 kHz; positions count from the start of the session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

VAD_FRAME = 512
"""Samples of one voice-activity decision (32 ms)."""

FRAME = 320
"""Samples of one encoder frame (20 ms); window starts are multiples of it."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the model is and where it runs. ``languages`` are the codes it takes; one for an ``.en`` model.

    ``translates`` is True if it was trained to translate.
    """

    name: str
    languages: tuple[str, ...]
    translates: bool
    device: str
    device_name: str


@dataclass(frozen=True, slots=True)
class VadRequest:
    """Audio of one stream to judge: a multiple of `VAD_FRAME` samples, from where the last request ended on."""

    key: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class VadResult:
    """Probability of speech, 0 to 1, of each `VAD_FRAME` samples."""

    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """One stream's window for one decode.

    Attributes:
        key: the stream.
        pcm: samples from ``start - context`` to the window's end.
        start: position of the window's first sample, a multiple of `FRAME`.
        context: samples of ``pcm`` before ``start``, for the spectrum of the first frames.
        language: Whisper code, or None to detect it.
        task: ``transcribe`` or ``translate``.
        prompt: tokens of an initial prompt, before the start of transcript.
        committed: tokens committed inside the window; the decode goes on after them.
        draft: a guess at the next tokens (the last tail); it saves time and does not change the result.
        reuse: True if frames encoded for the stream's last window may be reused: cheaper, and a little less exact.
    """

    key: int
    pcm: Pcm
    start: int
    context: int
    language: str | None
    task: str
    prompt: tuple[int, ...]
    committed: tuple[int, ...]
    draft: tuple[int, ...]
    reuse: bool


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of the window, made of tokens ``first`` (inclusive) to ``last`` (exclusive) of committed + new tokens.

    ``text`` is the whole word, ``fresh`` the part that new tokens spell (all of it unless it straddles the
    committed boundary). ``start`` and ``end`` are positions in samples.
    """

    text: str
    fresh: str
    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The outcome of one decode.

    Attributes:
        tokens: new tokens after the committed ones, without the end mark.
        logprobs: natural logarithm of each new token's probability.
        words: all words of committed + new tokens, in order, with times.
        end: every sample before this position was in the decode.
        no_speech: probability that the window holds no speech.
        looped: True if a repetition was cut to one copy.
        language: the language used.
        accepted: how many draft tokens the model agreed with.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    words: tuple[TimedWord, ...]
    end: int
    no_speech: float
    looped: bool
    language: str
    accepted: int


class Recognizer(Protocol):
    """A model with its weights; all calls come from one thread.

    `detect_speech` and `transcribe` answer each request in its place; an exception there ends that stream alone.
    """

    @property
    def info(self) -> ModelInfo: ...

    def load(self) -> None:
        """Copy the weights to the device and warm up; no-op if loaded."""

    def unload(self) -> None:
        """Drop the weights from the device and return their memory."""

    def open(self, key: int) -> None:
        """Allocate a stream's own state (VAD memory, caches)."""

    def close(self, key: int) -> None:
        """Drop a stream's state; unknown keys are ignored."""

    def detect_speech(self, requests: Sequence[VadRequest]) -> list[VadResult | Exception]:
        """Detect speech in all streams' new audio at once."""

    def transcribe(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Encode and decode all windows in one step."""

"""The recognizer: stock Whisper weights and our own forward passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from whisper.model import ModelDimensions

from gpu_worker.model.memory import drop_mapped_pages, give_back, trim
from gpu_worker.model.network import Network
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import Precision
from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.model.step import DecodeSettings, Step
from gpu_worker.model.vad import Vad, VadState
from gpu_worker.recognizer import (
    VAD_FRAME,
    ModelInfo,
    Pcm,
    VadRequest,
    VadResult,
    WindowRequest,
    WindowResult,
)

_LONGEST_S = 15
"""The longest window that the warm-up prepares kernels for; few are longer."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint on the host, memory-mapped; ``official`` is Whisper's own name for it, if it has one."""

    name: str
    official: str | None
    file: Path
    dims: ModelDimensions
    state: dict[str, Tensor]


def was_trained_to_translate(dims: ModelDimensions) -> bool:
    """Tell it by the shape: turbo and distil models lost decoder layers, and learned to transcribe alone after that."""
    return bool(dims.n_text_layer >= dims.n_audio_layer)


class WhisperRecognizer:
    """Implements `gpu_worker.recognizer.Recognizer` with torch."""

    def __init__(
        self,
        weights: Weights,
        *,
        precision: Precision,
        device: torch.device,
        device_name: str,
        encoder: EncoderSettings | None = None,
        decode: DecodeSettings | None = None,
    ) -> None:
        self._weights = weights
        self._precision = precision
        self._device = device
        self._encoder_settings = encoder or EncoderSettings()
        self._decode_settings = decode or DecodeSettings()
        self._vad = Vad(device=device)
        self._vad_states: dict[int, VadState] = {}
        self._step: Step | None = None
        self._fallbacks = 0
        self._warm = False
        tokens = Tokens(weights.dims.n_vocab)
        translates = tokens.multilingual and was_trained_to_translate(weights.dims)
        self._info = ModelInfo(weights.name, tokens.languages, translates, device.type, device_name)

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def fallbacks(self) -> int:
        """How many windows looped or did not end, and were encoded again without compaction."""
        return self._fallbacks + (self._step.fallbacks if self._step else 0)

    def load(self) -> None:
        """Copy the weights to the device and run everything once; no-op if loaded."""
        if self._step is not None:
            return
        with torch.inference_mode():
            network = Network.build(
                self._weights.state,
                self._weights.dims,
                name=self._weights.official,
                precision=self._precision,
                device=self._device,
                settings=self._encoder_settings,
            )
        drop_mapped_pages(self._weights.file)
        step = Step(network, self._decode_settings)
        self._warm_up(step)
        step.fallbacks = 0
        for key in self._vad_states:
            step.open(key)
        self._step = step
        trim(self._device)

    def unload(self) -> None:
        """Drop the weights from the device and return their memory."""
        self._fallbacks = self.fallbacks
        self._step = None
        drop_mapped_pages(self._weights.file)
        give_back(self._device)

    def open(self, key: int) -> None:
        """Begin a stream, before its first audio."""
        self._vad_states[key] = VadState.new()
        if self._step is not None:
            self._step.open(key)

    def close(self, key: int) -> None:
        self._vad_states.pop(key, None)
        if self._step is not None:
            self._step.close(key)

    def detect_speech(self, requests: Sequence[VadRequest]) -> list[VadResult | Exception]:
        """Detect speech in all streams' new audio; a stream's state changes only if that succeeds."""
        answers: dict[int, VadResult | Exception] = {}
        states: dict[int, VadState] = {}
        for i, request in enumerate(requests):
            if request.key not in self._vad_states:
                answers[i] = KeyError(f"stream {request.key} is not open")
            elif len(request.pcm) % VAD_FRAME:
                answers[i] = ValueError(f"{len(request.pcm)} samples are no multiple of {VAD_FRAME}")
            elif len(request.pcm) == 0:
                answers[i] = VadResult(())
            else:
                states[i] = self._vad_states[request.key]
        found = self._vad.run([(state, requests[i].pcm) for i, state in states.items()])
        for i, (probabilities, state) in zip(states, found, strict=True):
            if np.isfinite(probabilities).all():
                self._vad_states[requests[i].key] = state
                answers[i] = VadResult(tuple(probabilities.tolist()))
            else:
                answers[i] = FloatingPointError("voice activity is not a number")
        return [answers[i] for i in range(len(requests))]

    def transcribe(self, requests: Sequence[WindowRequest]) -> list[WindowResult | Exception]:
        """Encode and decode all windows in one step.

        Raises:
            RuntimeError: the model is not loaded.
        """
        if self._step is None:
            raise RuntimeError("the model is not loaded")
        with torch.inference_mode():
            return self._step.run(requests)

    def _warm_up(self, step: Step) -> None:
        """Run a step, since torch's first calls choose and build kernels, on CUDA for each shape.

        A process builds its kernels once, so that a later load, for which a client waits, skips them. CUDA graphs are
        dropped with the weights and recorded again when they are first needed, in hundredths of a second each.
        """
        noise = (np.random.default_rng(0).standard_normal(_LONGEST_S * 16_000) * 1000).astype(np.int16)
        self._vad.run([(VadState.new(), noise[: 16 * VAD_FRAME])])
        if self._device.type == "cuda" and not self._warm:
            for seconds in range(_LONGEST_S, 0, -1):  # the longest first: it needs the most memory
                for _ in range(2):  # a pass is recorded the second time
                    _transcribe_once(step, [noise[: seconds * 16_000]])
        _transcribe_once(step, [noise[: 2 * 16_000], noise[8000 : 2 * 16_000]])
        self._warm = True


def _transcribe_once(step: Step, audios: Sequence[Pcm]) -> None:
    """Transcribe windows in one step; raise the error that it answers in place of a result."""
    with torch.inference_mode():
        answers = step.run([WindowRequest(0, pcm, 0, 0, None, "transcribe", (), (), (), reuse=False) for pcm in audios])
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer

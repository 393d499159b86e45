"""Steps on a device with made-up weights of a model's size, timed (door: torch)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from gpu_worker.model.loading import precision_for
from gpu_worker.model.recognizer import WhisperRecognizer
from gpu_worker.recognizer import VAD_FRAME, Pcm, VadRequest, VadResult, WindowResult

from .stages import Stages, clock_of
from .synthetic_weights import SyntheticModel, noise
from .windows import WindowShape

_REPEATS = 5
_LONGEST_S = 30.0


class NoDeviceError(Exception):
    """The device asked for is not at hand; the message says so."""


@dataclass(frozen=True, slots=True)
class Measured:
    cadence_s: float
    windows: int
    step_ms: float
    stages_ms: dict[str, float]


def find_device(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NoDeviceError("No CUDA device is at hand: nothing was measured. (--device cpu works everywhere.)")
    return device


class Bench:
    def __init__(self, name: str, device: str, length: int) -> None:
        self.device = find_device(device)
        cuda = self.device.type == "cuda"
        self.device_name = torch.cuda.get_device_name(self.device) if cuda else "CPU"
        self.clock = clock_of(device)
        self.model = SyntheticModel(name, length)
        self.precision = precision_for(self.device, self.model.dims.n_audio_state)
        self.recognizer = WhisperRecognizer(
            self.model.weights,
            precision=self.precision,
            device=self.device,
            device_name=self.device_name,
            decode=self.model.settings,
        )
        self.recognizer.load()

    def listen_times(self) -> tuple[float, float]:
        """Measure one call of the voice detector, and what each frame in it adds, in seconds."""
        few, many = 4, 256
        spent = {}
        for streams in (few, many):
            for key in range(streams):
                self.recognizer.open(key)
            requests = [VadRequest(key, noise(1.0)[: 8 * VAD_FRAME]) for key in range(streams)]
            self._listen(requests)
            spent[streams] = min(self._time(partial(self._listen, requests)) for _ in range(_REPEATS))
            for key in range(streams):
                self.recognizer.close(key)
        frame_s = max(0.0, (spent[many] - spent[few]) / (8 * (many - few)))
        return max(0.0, spent[few] - 8 * few * frame_s), frame_s

    def _listen(self, requests: Sequence[VadRequest]) -> None:
        for answer in self.recognizer.detect_speech(requests):
            if not isinstance(answer, VadResult):
                raise answer

    def _time(self, call: Callable[[], None]) -> float:
        began = self.clock()
        call()
        return self.clock() - began

    def step(self, cadence_s: float, shapes: Sequence[WindowShape], batch: int) -> Measured:
        """Time steps of some of the windows that were met at a cadence."""
        chance = random.Random(batch)  # noqa: S311 - which windows meet in a step
        audio = noise(_LONGEST_S)
        steps = [chance.choices(shapes, k=batch) for _ in range(_REPEATS)]
        for chosen in steps * 2:  # CUDA records what it meets for the second time
            self._run(chosen, audio)
        times = [self._time(partial(self._run, chosen, audio)) for chosen in steps]
        # Once more for the stages: to wait for each of them costs time of its own.
        with Stages(self.clock).watching() as stages:
            whole = sum(self._time(partial(self._run, chosen, audio)) for chosen in steps)
        parts = {stage: 1000.0 * spent_s / _REPEATS for stage, spent_s in stages.spent.items()}
        parts["the rest"] = 1000.0 * whole / _REPEATS - sum(parts.values())
        return Measured(cadence_s, batch, 1000.0 * median(times), parts)

    def _run(self, chosen: Sequence[WindowShape], audio: Pcm) -> None:
        requests = [self.model.request(key, each, audio) for key, each in enumerate(chosen)]
        for what, answer in zip(chosen, self.recognizer.transcribe(requests), strict=True):
            if not isinstance(answer, WindowResult):
                raise answer
            if (len(answer.tokens), answer.accepted) != (what.found, what.accepted):
                raise RuntimeError(f"made-up weights said {len(answer.tokens)} tokens for {what}")

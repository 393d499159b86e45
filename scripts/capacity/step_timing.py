"""Steps on a device with made-up weights of a model's size, timed (door: torch)."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from gpu_worker.model.loading import precision_for
from gpu_worker.model.nn.linear import dtype_of
from gpu_worker.model.recognizer import WhisperRecognizer
from gpu_worker.recognizer import VAD_FRAME, Pcm, VadRequest, VadResult, WindowResult

from .simulation import StepTimes
from .stages import Stages, clock_of
from .synthetic_weights import SyntheticModel, noise
from .windows import WindowShape

_REPEATS = 5
_LONGEST_S = 30.0
_PRODUCT_S = 0.005  # a product is timed for at least this long


class NoDeviceError(Exception):
    """The device asked for is not at hand; the message says so."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Steps of one number of windows at a cadence: time, its stages, and the share of the chip's peak reached."""

    cadence_s: float
    windows: int
    step_ms: float
    stages_ms: dict[str, float]
    peak_share: float


def find_device(name: str) -> torch.device:
    """Return a device.

    Raises:
        NoDeviceError: there is none.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NoDeviceError("No CUDA device is at hand: nothing was measured. (--device cpu works everywhere.)")
    return device


class Bench:
    """A made-up model on a device.

    Raises:
        NoDeviceError: there is no such device.
    """

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

    def peak_flops(self) -> float:
        """Measure the operations a second of a large product of matrices, as the encoder multiplies."""
        size = 8192 if self.device.type == "cuda" else 1024
        dtype = dtype_of(self.precision.encoder)
        a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
        best = 0.0
        for _ in range(_REPEATS + 1):
            began, count = self.clock(), 0
            while (took := self.clock() - began) < _PRODUCT_S or not count:
                torch.mm(a, b)
                count += 1
            best = max(best, 2.0 * size**3 * count / took)
        return best

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

    def steps(
        self, shapes: Mapping[float, Sequence[WindowShape]], batches: Sequence[int], peak: float
    ) -> list[Measured]:
        """Time steps of each size at each cadence."""
        return [self._step(cadence_s, shapes[cadence_s], batch, peak) for cadence_s in shapes for batch in batches]

    def _step(self, cadence_s: float, shapes: Sequence[WindowShape], batch: int, peak: float) -> Measured:
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
        operations = sum(self.model.operations(each) for chosen in steps for each in chosen)
        return Measured(cadence_s, batch, 1000.0 * median(times), parts, operations / sum(times) / peak)

    def _run(self, chosen: Sequence[WindowShape], audio: Pcm) -> None:
        requests = [self.model.request(key, each, audio) for key, each in enumerate(chosen)]
        for what, answer in zip(chosen, self.recognizer.transcribe(requests), strict=True):
            if not isinstance(answer, WindowResult):
                raise answer
            if (len(answer.tokens), answer.accepted) != (what.found, what.accepted):
                raise RuntimeError(f"made-up weights said {len(answer.tokens)} tokens for {what}")


def step_times(measured: Sequence[Measured], listen: tuple[float, float]) -> StepTimes:
    """Return what a simulation needs."""
    steps: dict[float, dict[int, float]] = {}
    for each in measured:
        steps.setdefault(each.cadence_s, {})[each.windows] = each.step_ms / 1000.0
    return StepTimes(steps, *listen)

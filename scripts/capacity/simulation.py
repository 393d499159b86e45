"""A worker's loop in audio time, with measured step times (core)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gpu_worker.recognizer import VAD_FRAME
from gpu_worker.serving.pacing import StepPacer
from shared.settings import WorkerSettings

_LOOK_S = 0.1
_MESSAGE_S = 0.1
_WARM_S = 15.0


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Measured seconds: of steps by cadence and windows, of a call of the voice detector, and of each frame in it."""

    steps: Mapping[float, Mapping[int, float]]
    listen_s: float
    frame_s: float

    @property
    def most(self) -> int:
        """The windows of the largest step."""
        return max(size for sizes in self.steps.values() for size in sizes)

    def step_s(self, windows: int, cadence_s: float) -> float:
        """Return the time of a step: on the line between two that were measured, level before and after all."""
        cadences = sorted(self.steps)
        at = []
        for each in cadences:
            sizes = sorted(self.steps[each])
            at.append(float(np.interp(windows, sizes, [self.steps[each][size] for size in sizes])))
        return float(np.interp(cadence_s, cadences, at))


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of streams means for a worker: lag over streams and time, its cadence, and how much it idles."""

    streams: int
    lag_p50_s: float
    lag_p95_s: float
    period_s: float
    windows_per_step: float
    busy: float


def simulate(streams: int, times: StepTimes, settings: WorkerSettings, seconds: float = 60.0) -> Load:
    """Run a worker's loop over streams that speak all the time, begun at different moments.

    A window reaches to the moment its step begins, and is decoded when the step has ended.
    """
    cadence = StepPacer(settings.step_min_s, settings.step_max_s)
    decoded = -np.random.default_rng(0).uniform(0.0, settings.step_min_s, streams)
    now = listened = busy = 0.0
    looks: list[np.ndarray] = []
    sizes: list[int] = []
    while now < seconds:
        began = now
        frames = int((now - listened) * 16_000) // VAD_FRAME * streams
        if frames:
            now += times.listen_s + times.frame_s * frames
            listened = began
        ages = now - decoded
        due = np.argsort(-ages, kind="stable")[: times.most]
        due = due[ages[due] >= cadence.period_s]
        if len(due):
            heard, took = now, times.step_s(len(due), float(ages[due].mean()))
            now += took
            cadence.stepped(took, len(due), streams)
            sizes.append(len(due))
        busy += now - began
        if not len(due):
            # Audio wakes the worker: each stream brings some ten times a second.
            now = max(now, min(began + _MESSAGE_S, float(decoded.min()) + cadence.period_s + 1e-6))
        first = -(-began // _LOOK_S) * _LOOK_S
        looks += [at - decoded for at in np.arange(first, now, _LOOK_S) if at >= _WARM_S]
        if len(due):
            decoded[due] = heard
    p50, p95 = np.percentile(np.concatenate(looks), [50, 95])
    return Load(streams, float(p50), float(p95), cadence.period_s, float(np.mean(sizes)), busy / now)


def most_streams(times: StepTimes, settings: WorkerSettings, lag_s: float) -> tuple[Load | None, Load]:
    """Return the largest load whose lag stays below ``lag_s`` for 95 %, None if there is none, and the first beyond."""
    good, bad = None, simulate(1, times, settings)
    while bad.lag_p95_s < lag_s:
        good, bad = bad, simulate(2 * bad.streams, times, settings)
    while good is not None and bad.streams - good.streams > max(1, good.streams // 100):
        middle = simulate((good.streams + bad.streams) // 2, times, settings)
        good, bad = (middle, bad) if middle.lag_p95_s < lag_s else (good, middle)
    return good, bad

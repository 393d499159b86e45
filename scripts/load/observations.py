"""What is seen of the server and the machine beside the sessions, and what it says (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_END_WINDOW_S = 5.0  # a step lasts up to some seconds: the lag at the end is the worst of several samples


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of things at one moment of the client's clock; None is unknown.

    Attributes:
        lag_s: the largest lag of any worker: audio received and not yet decoded.
    """

    at_s: float
    lag_s: float | None
    load_average: float


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time used during a load, in seconds; None where the server's processes are not known."""

    gateway_s: float | None
    workers_s: float | None
    client_s: float


@dataclass(frozen=True, slots=True)
class Observations:
    """All samples of a load, and the CPU time used in it."""

    samples: tuple[Sample, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What a load meant for the server.

    Attributes:
        lag_end_s: the largest lag in the last seconds in which all sessions spoke.
        lag_growth_s_per_min: the slope of the lag in the second half of the time in which all sessions spoke.
        cpu_per_audio_s: CPU seconds of gateway and workers for a second of audio.
        load_average: the system's one-minute load average at the end.
    """

    lag_max_s: float | None
    lag_end_s: float | None
    lag_growth_s_per_min: float | None
    cpu_per_audio_s: float | None
    gateway_cpu_per_audio_s: float | None
    workers_cpu_per_audio_s: float | None
    client_cpu_per_audio_s: float | None
    load_average: float | None


def judge(seen: Observations, audio_s: float, all_speaking_s: tuple[float, float] | None) -> ServerFigures:
    """Turn what was seen into figures.

    Args:
        seen: the samples and the CPU time.
        audio_s: the audio of all sessions together.
        all_speaking_s: from when until when all sessions spoke (the client's clock); None if they never did.
    """
    usage = seen.usage
    server_s = None if usage.gateway_s is None or usage.workers_s is None else usage.gateway_s + usage.workers_s
    lags = [(sample.at_s, sample.lag_s) for sample in seen.samples if sample.lag_s is not None]
    start_s, end_s = all_speaking_s or (0.0, 0.0)
    at_end = [lag_s for at_s, lag_s in lags if end_s - _END_WINDOW_S <= at_s <= end_s]
    half_s = (start_s + end_s) / 2
    return ServerFigures(
        lag_max_s=max((lag_s for _, lag_s in lags), default=None),
        lag_end_s=max(at_end, default=None),
        lag_growth_s_per_min=_slope_per_min([(at_s, lag_s) for at_s, lag_s in lags if half_s <= at_s <= end_s]),
        cpu_per_audio_s=_ratio(server_s, audio_s),
        gateway_cpu_per_audio_s=_ratio(usage.gateway_s, audio_s),
        workers_cpu_per_audio_s=_ratio(usage.workers_s, audio_s),
        client_cpu_per_audio_s=_ratio(usage.client_s, audio_s),
        load_average=seen.samples[-1].load_average if seen.samples else None,
    )


def _slope_per_min(points: Sequence[tuple[float, float]]) -> float | None:
    """Fit a line (least squares); None for less than ten points, which would say nothing."""
    if len(points) < 10:
        return None
    at_s, lag_s = np.array(points).T
    return float(np.polyfit((at_s - at_s[0]) / 60.0, lag_s, 1)[0])


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else part / whole

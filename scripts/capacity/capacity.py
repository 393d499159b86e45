"""Find how many streams a device carries (shell)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.status import Status

from gpu_worker.serving.worker import BATCH_CPU, BATCH_CUDA
from scripts.tools.tables import Report, Table, number
from shared.settings import WorkerSettings

from .simulation import Load, StepTimes, most_streams
from .stages import STAGES
from .step_timing import Bench, Measured
from .synthetic_weights import length_for
from .windows import WindowShape, measured_windows

_LAG_S = 1.5


def measure_capacity(model: str, device: str, batches: Sequence[int], status: Status) -> Report:
    """Measure steps of batches (powers of two up to a worker's most if there are none), and simulate loads."""
    shapes = measured_windows()
    status.update("making up weights")
    bench = Bench(model, device, length_for([shape for each in shapes.values() for shape in each]))
    most = BATCH_CUDA if bench.device.type == "cuda" else BATCH_CPU
    batches = batches or [2**i for i in range(most.bit_length())]
    status.update("timing steps")
    listen = bench.listen_times()
    measured = [bench.step(cadence_s, shapes[cadence_s], batch) for cadence_s in shapes for batch in batches]
    steps = {
        cadence_s: {each.windows: each.step_ms / 1000.0 for each in measured if each.cadence_s == cadence_s}
        for cadence_s in shapes
    }
    good, bad = most_streams(StepTimes(steps, *listen), WorkerSettings.defaults(), _LAG_S)
    return Report(
        {
            "device": bench.device_name,
            "precision": bench.precision,
            "listen_s": listen[0],
            "listen_frame_s": listen[1],
            "steps": measured,
            "carried": good,
            "beyond": bad,
        },
        [
            f"{bench.device_name}, {model} (made-up weights, {'/'.join(asdict(bench.precision).values())})",
            *_tables(measured, shapes),
            _verdict(good, bad),
        ],
    )


def _tables(measured: Sequence[Measured], shapes: Mapping[float, Sequence[WindowShape]]) -> list[Table]:
    made = []
    for cadence_s in shapes:
        steps = [each for each in measured if each.cadence_s == cadence_s]
        rows = [
            ("step, ms", [number(each.step_ms, ".1f") for each in steps]),
            ("  a window, ms", [number(each.step_ms / each.windows, ".2f") for each in steps]),
            *((f"  {stage}, ms", [number(each.stages_ms.get(stage), ".1f") for each in steps]) for stage in STAGES),
        ]
        title = f"steps of windows {cadence_s:g} s after their last"
        made.append(Table(title, [f"{each.windows} windows" for each in steps], rows))
    return made


def _verdict(good: Load | None, bad: Load) -> str:
    if good is None:
        return f"not even one stream that always speaks: its lag is {bad.lag_p95_s:.2f} s for 95 % (bound {_LAG_S:g} s)"
    return (
        f"{good.streams} streams that always speak: lag {good.lag_p50_s:.2f} s in the median, {good.lag_p95_s:.2f} s "
        f"for 95 % (bound {_LAG_S:g} s), a decode each {good.period_s:.2f} s, {good.windows_per_step:.1f} windows a "
        f"step, {100.0 * good.busy:.0f} % busy; with {bad.streams} the lag is {bad.lag_p95_s:.2f} s"
    )

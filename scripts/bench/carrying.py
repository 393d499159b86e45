"""Find and print how many streams a device carries (shell)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from gpu_worker.worker import BATCH_CPU, BATCH_CUDA
from shared.settings import WorkerSettings

from .capacity import Bench, Measured, step_times
from .made_up import length_for
from .simulation import Load, Rules, most_streams
from .stages import STAGES
from .tables import number, output, print_rows
from .windows import WindowShape

_LAG_S = 1.5


@dataclass(frozen=True, slots=True)
class Burden:
    """What is asked: a model's size, a device, windows by cadence, and how many of them in a step (None: as usual)."""

    model: str
    device: str
    shapes: Mapping[float, Sequence[WindowShape]]
    batches: tuple[int, ...] | None


def carry(burden: Burden, notes: Console) -> dict[str, object]:
    """Measure steps, simulate loads, and print both.

    Raises:
        NoDeviceError: the device is not at hand.
        ValueError: there is no such model.
    """
    every = [shape for shapes in burden.shapes.values() for shape in shapes]
    with notes.status("making up weights"):
        bench = Bench(burden.model, burden.device, length_for(every))
    cuda = bench.device.type == "cuda"
    batches = burden.batches or _powers_of_two(BATCH_CUDA if cuda else BATCH_CPU)
    with notes.status("timing steps"):
        peak = bench.peak_flops()
        listen = bench.listen_times()
        measured = bench.steps(burden.shapes, batches, peak)
    settings = WorkerSettings.defaults()
    rules = Rules(max(batches), settings.step_min_s, settings.step_max_s)
    good, bad = most_streams(step_times(measured, listen), rules, _LAG_S)
    tables = output()
    kinds = f"{bench.precision.encoder}/{bench.precision.decoder}/{bench.precision.vocabulary}"
    tables.print(f"{bench.device_name}, {burden.model} (made-up weights, {kinds})", markup=False)
    tables.print(f"a large product of matrices: {peak / 1e12:.2f} TFLOP/s", markup=False)
    for cadence_s in burden.shapes:
        _print_steps(tables, [each for each in measured if each.cadence_s == cadence_s], cadence_s)
    tables.print(_verdict(good, bad), markup=False, soft_wrap=True)
    return {
        "device": bench.device_name,
        "precision": asdict(bench.precision),
        "peak_flops": peak,
        "listen_s": listen[0],
        "listen_frame_s": listen[1],
        "steps": [asdict(each) for each in measured],
        "carried": asdict(good) if good else None,
        "beyond": asdict(bad),
    }


def _powers_of_two(most: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(most.bit_length()) if 2**i <= most)


def _print_steps(tables: Console, steps: Sequence[Measured], cadence_s: float) -> None:
    rows = [
        ("step, ms", [number(each.step_ms, ".1f") for each in steps]),
        ("  a window, ms", [number(each.step_ms / each.windows, ".2f") for each in steps]),
    ]
    rows += [
        (f"  {stage}, ms", [number(each.stages_ms.get(stage), ".1f") for each in steps])
        for stage in (*STAGES, "the rest")
    ]
    rows.append(("share of the peak, %", [number(100.0 * each.peak_share, ".1f") for each in steps]))
    title = f"steps of windows {cadence_s:g} s after their last"
    print_rows(tables, title, [f"{each.windows} windows" for each in steps], rows)


def _verdict(good: Load | None, bad: Load) -> str:
    if good is None:
        return f"not even one stream that always speaks: its lag is {bad.lag_p95_s:.2f} s for 95 % (bound {_LAG_S:g} s)"
    return (
        f"{good.streams} streams that always speak: lag {good.lag_p50_s:.2f} s in the median, {good.lag_p95_s:.2f} s "
        f"for 95 % (bound {_LAG_S:g} s), a decode each {good.period_s:.2f} s, {good.windows_per_step:.1f} windows a "
        f"step, {100.0 * good.busy:.0f} % busy; with {bad.streams} the lag is {bad.lag_p95_s:.2f} s"
    )

"""Run one load after another, then say what came out (shell)."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.status import Status
from whisper_live_client.connection import session_url
from whisper_live_client.outcome import Exit

from .bounds import Bound
from .drive import Interrupts, drive
from .manifest import ManifestError, read_set, shipped
from .material import Material, streams
from .measurement import Load, Measurement, Options
from .monitor import JsonObject, Monitor, UnreachableError
from .normal import normaliser
from .observations import Sample
from .processes import ServerProcesses, find_server
from .reference import ModelUnavailableError, transcribe
from .sampling import Sampler
from .scoring import score
from .session import report
from .summary import Summary
from .table import print_table, print_troubles

_IDLE_LOOKS, _IDLE_LOOK_S = 50, 0.2
_BOUND_MISSED = 3


def run(options: Options) -> int:
    """Measure, print, and return the exit code."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    monitor = Monitor(session_url(options.wishes.url, {}), options.monitor_token)
    try:
        material = _read(options)
        # Made once to see now, not after minutes, whether there is audio in it.
        streams(material, max(options.counts), options.seconds)
        server: JsonObject = {"health": monitor.get("/health"), "gpu_status": monitor.get("/gpu-status")}
    except (ManifestError, UnreachableError, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        return Exit.USAGE
    measured = Measurement(options, material, server, datetime.now(UTC))
    asyncio.run(_measure(measured, monitor, console))
    try:
        _compare(measured, console)
    except ModelUnavailableError as error:
        console.print(f"no reference: {error}", style="red", markup=False)
    except KeyboardInterrupt:
        measured.interrupted = True
    return _conclude(measured, console)


def _read(options: Options) -> Material:
    if options.manifest is None or options.set_name is None:
        return shipped()
    return read_set(options.manifest, options.set_name)


async def _measure(measured: Measurement, monitor: Monitor, console: Console) -> None:
    interrupts = Interrupts()
    with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupts.interrupt)
    for count in measured.options.counts:
        await _until_idle(monitor)
        if not interrupts.stopping.is_set():
            await _load(measured, monitor, console, count, interrupts)
            measured.interrupted = interrupts.stopping.is_set()
            with contextlib.suppress(OSError):  # said at the end, where it is tried again
                measured.write()


async def _load(measured: Measurement, monitor: Monitor, console: Console, count: int, interrupts: Interrupts) -> None:
    """Have one load, and judge it."""
    options = measured.options
    chosen = streams(measured.material, count, options.seconds)
    longest_s = max(stream.duration_s for stream in chosen)
    console.print(f"{_plural(count)} of {measured.material.name}, up to {longest_s:.0f} s each")
    sampler = Sampler(monitor, _processes(options, monitor))
    started_s = time.monotonic()
    with console.status("") as status:

        def show(sample: Sample) -> None:
            _show(status, sample.at_s - started_s, longest_s + options.wishes.ramp_s, sample, interrupts)

        sampling = asyncio.create_task(sampler.run(show))
        try:
            conversations = await drive(options.wishes, chosen, interrupts)
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
    seen = await sampler.finish()
    normalise = normaliser(options.wishes.language)
    reports = [report(each, normalise, options.wishes.message_samples) for each in conversations]
    measured.loads.append(Load(chosen, reports, seen))


def _show(status: Status, elapsed_s: float, expected_s: float, sample: Sample, interrupts: Interrupts) -> None:
    lag = "unknown" if sample.lag_s is None else f"{sample.lag_s:.1f} s"
    stopping = ", stopping (Ctrl-C again to quit)" if interrupts.stopping.is_set() else ""
    status.update(f"{elapsed_s:.0f} of some {expected_s:.0f} s, lag {lag}{stopping}")


async def _until_idle(monitor: Monitor) -> None:
    """Let the sessions of the load before give their slots back; other people's are not waited for longer."""
    for _ in range(_IDLE_LOOKS):
        if not await asyncio.to_thread(monitor.sessions):
            return
        await asyncio.sleep(_IDLE_LOOK_S)


def _processes(options: Options, monitor: Monitor) -> ServerProcesses | None:
    """Find the server's processes: those that were named, else those of a supervisord on this machine."""
    found = find_server(options.run_dir, monitor.port) if monitor.host in {"127.0.0.1", "::1", "localhost"} else None
    pids = options.pids or ((found,) if found else ())
    return ServerProcesses(pids) if pids else None


def _compare(measured: Measurement, console: Console) -> None:
    """Score the offline reference on the streams of every load that came to its end.

    Raises:
        ModelUnavailableError: its checkpoint cannot be had.
    """
    options = measured.options
    loads = [load for load in measured.loads if load.whole]
    if options.reference is None or measured.interrupted or not loads:
        return
    different = list({stream.key: stream for load in loads for stream in load.streams}.values())
    with console.status("") as status:

        def show(done: int) -> None:
            status.update(f"{options.reference} transcribes offline: {done} of {_plural(len(different))} done")

        texts = transcribe(options.reference, different, options.wishes.language, show)
    normalise = normaliser(options.wishes.language)
    for load in loads:
        load.reference = [
            one
            for stream in load.streams
            for one in score([utterance.text for utterance in stream.utterances], texts[stream.key], normalise)
        ]


def _conclude(measured: Measurement, console: Console) -> int:
    """Print and write everything; return the exit code."""
    summaries = [load.summary() for load in measured.loads]
    unmet = [
        (column, bound)
        for column, summary in enumerate(summaries)
        for bound in measured.options.bounds
        if bound.concerns(summary.streams) and not bound.met(summary.figures())
    ]
    failed = [(len(load.streams), each) for load in measured.loads for each in load.reports if each.failed]
    if summaries:
        print_table(Console(highlight=False), summaries, unmet)
    print_troubles(console, failed, unmet, summaries)
    try:
        measured.write()
    except OSError as error:
        console.print(f"{error.filename}: {error.strerror}", style="red", markup=False)
        return Exit.FAILED
    if failed:
        return Exit.FAILED
    if measured.interrupted:
        return Exit.INTERRUPTED
    return _BOUND_MISSED if unmet or _unheld(measured, summaries) else Exit.COMPLETE


def _unheld(measured: Measurement, summaries: Sequence[Summary]) -> list[Bound]:
    """Return the bounds that no load was held against: asked for, and never measured."""
    counts = [summary.streams for summary in summaries]
    return [bound for bound in measured.options.bounds if not any(bound.concerns(count) for count in counts)]


def _plural(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"

"""Run one load after another, then say what came out (shell)."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from whisper_live_client.outcome import Exit

from scripts.tools.corpus import ManifestError, Stream, make_streams, read_set
from scripts.tools.driver import SessionDriver, SessionResult
from scripts.tools.scoring import normaliser, score
from scripts.tools.server_api import ServerApi, UnreachableError
from shared.errors import ModelUnavailableError

from .chart import draw
from .processes import ServerProcesses, find_server
from .results import Load, Measurement, Options
from .sampling import Sample, Sampler
from .session import report
from .table import print_table, print_troubles

_IDLE_LOOKS, _IDLE_LOOK_S = 50, 0.2
_LOCAL = {"127.0.0.1", "::1", "localhost"}
BOUND_MISSED = 3


def run(options: Options) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    api = ServerApi(options.session.url, options.monitor_token)
    try:
        corpus = read_set(options.manifest, options.set_name)
        # Made once to see now, not after minutes, whether there is audio in it.
        make_streams(corpus, max(options.counts), options.seconds)
        server = {"health": api.get("/health"), "gpu_status": api.get("/gpu-status")}
    except (ManifestError, UnreachableError, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        return Exit.USAGE
    measured = Measurement(options, corpus, server, datetime.now(UTC))
    asyncio.run(_LoadTest(measured, api, console).run())
    try:
        _compare(measured, console)
    except KeyboardInterrupt:
        measured.interrupted = True
    return _conclude(measured, console)


class _LoadTest:
    """Runs the loads, each with all its sessions at the same time.

    The first Ctrl-C ends the audio of all sessions and waits for their last words, the second ends everything.
    """

    def __init__(self, measured: Measurement, api: ServerApi, console: Console) -> None:
        self._measured = measured
        self._api = api
        self._console = console
        self._stopping = asyncio.Event()
        self._drivers: list[SessionDriver] = []
        self._sessions: list[asyncio.Task[SessionResult | None]] = []

    async def run(self) -> None:
        with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        for count in self._measured.options.counts:
            await self._until_idle()
            if self._stopping.is_set():
                break
            await self._load(count)
            self._measured.interrupted = self._stopping.is_set()
            with contextlib.suppress(OSError):  # said at the end, where it is tried again
                self._measured.write()

    def _interrupt(self) -> None:
        for session in self._sessions if self._stopping.is_set() else ():
            session.cancel()
        self._stopping.set()
        for driver in self._drivers:
            driver.stop()

    async def _until_idle(self) -> None:
        """Let the sessions of the load before give their slots back; other people's are not waited for longer."""
        for _ in range(_IDLE_LOOKS):
            try:
                seen = await asyncio.to_thread(self._api.gpu_status)
            except UnreachableError:
                return
            if not seen.total_connections:
                return
            await asyncio.sleep(_IDLE_LOOK_S)

    async def _load(self, count: int) -> None:
        options = self._measured.options
        streams = make_streams(self._measured.corpus, count, options.seconds)
        longest_s = max(stream.duration_s for stream in streams)
        self._console.print(f"{_plural(count)} of {self._measured.corpus.name}, up to {longest_s:.0f} s each")
        sampler = Sampler(self._api, _processes(options, self._api))
        started_s = time.monotonic()
        with self._console.status("") as status:

            def show(sample: Sample) -> None:
                lag = "unknown" if sample.lag_s is None else f"{sample.lag_s:.1f} s"
                stopping = ", stopping (Ctrl-C again to quit)" if self._stopping.is_set() else ""
                expected_s = longest_s + options.ramp_s
                status.update(f"{sample.at_s - started_s:.0f} of some {expected_s:.0f} s, lag {lag}{stopping}")

            sampling = asyncio.create_task(sampler.run(show))
            try:
                results = await self._drive(streams)
            finally:
                sampling.cancel()
                await asyncio.gather(sampling, return_exceptions=True)
        seen = await sampler.finish()
        normalise = normaliser(options.session.language)
        samples = options.session.message_samples
        reports = [report(number, result, normalise, samples) for number, result in results]
        self._measured.loads.append(Load(streams, reports, seen))

    async def _drive(self, streams: Sequence[Stream]) -> list[tuple[int, SessionResult]]:
        """Run one session for each stream; those that an interrupt kept from beginning are left out."""
        options = self._measured.options
        self._drivers = [SessionDriver(options.session, stream) for stream in streams]
        async with asyncio.TaskGroup() as group:
            self._sessions = [
                group.create_task(self._session(driver, options.ramp_s * number / len(streams), stream))
                for number, (driver, stream) in enumerate(zip(self._drivers, streams, strict=True))
            ]
        results = [None if session.cancelled() else session.result() for session in self._sessions]
        return [(number, result) for number, result in enumerate(results) if result is not None]

    async def _session(self, driver: SessionDriver, delay_s: float, stream: Stream) -> SessionResult | None:
        """Run a session from its turn on, or not at all if everything is to stop by then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        if self._stopping.is_set():
            return None
        return await driver.run(stream.duration_s + self._measured.options.patience_s)


def _processes(options: Options, api: ServerApi) -> ServerProcesses | None:
    """Find the server's processes: those that were named, else those of a supervisord on this machine."""
    found = find_server(options.run_dir, api.port) if api.host in _LOCAL else None
    pids = options.pids or ((found,) if found else ())
    return ServerProcesses(pids) if pids else None


def _compare(measured: Measurement, console: Console) -> None:
    """Score the offline reference on the streams of every load that came to its end."""
    options = measured.options
    loads = [load for load in measured.loads if not load.summary().figures["not_complete"]]
    if options.reference is None or measured.interrupted or not loads:
        return
    from scripts.tools.offline import transcribe  # noqa: PLC0415 - torch: only if asked for

    different = list({stream.key: stream for load in loads for stream in load.streams}.values())
    with console.status("") as status:

        def show(done: int) -> None:
            status.update(f"{options.reference} transcribes offline: {done} of {_plural(len(different))} done")

        try:
            found = transcribe(options.reference, different, options.session.language, show)
        except ModelUnavailableError as error:
            console.print(f"no reference: {error}", style="red", markup=False)
            return
    normalise = normaliser(options.session.language)
    for load in loads:
        load.reference = [
            one for stream in load.streams for one in score(stream.spoken().texts, found[stream.key].text, normalise)
        ]


def _conclude(measured: Measurement, console: Console) -> int:
    options = measured.options
    summaries = [load.summary() for load in measured.loads]
    unmet = [
        (summary, bound)
        for summary in summaries
        for bound in options.bounds
        if bound.concerns(summary.streams) and not bound.met(summary.figures)
    ]
    unmeasured = not all(any(bound.concerns(summary.streams) for summary in summaries) for bound in options.bounds)
    failed = [(len(load.streams), each) for load in measured.loads for each in load.reports if each.failed]
    if summaries:
        print_table(summaries, unmet)
    print_troubles(console, failed, unmet)
    try:
        measured.write()
        if options.plot_path is not None and summaries:
            draw({summary.streams: summary.figures for summary in summaries}, options.plot_path)
    except OSError as error:
        console.print(f"{error.filename}: {error.strerror}", style="red", markup=False)
        return Exit.FAILED
    except ValueError as error:
        console.print(str(error), style="red", markup=False)
    if failed:
        return Exit.FAILED
    if measured.interrupted:
        return Exit.INTERRUPTED
    return BOUND_MISSED if unmet or unmeasured else Exit.COMPLETE


def _plural(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"

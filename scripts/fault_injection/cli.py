"""The options of `scripts/chaos`, and its runs: two undisturbed, then the disturbed one (shell)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from whisper_live_client.cli import session_options

from scripts.server.supervise import find_run_dir
from scripts.tools.corpus import Stream, make_streams, shipped_clips
from scripts.tools.driver import SessionDriver, SessionSettings
from scripts.tools.options import run_dir_option
from scripts.tools.scoring import normaliser
from scripts.tools.server_api import ServerApi, UnreachableError
from scripts.tools.supervisord import Supervisord, SupervisordError
from scripts.tools.tables import make_console

from .injector import FaultInjector
from .proxy import Proxy
from .report import show
from .schedule import schedule
from .server import RunningServer, ServerError, own_server
from .verdict import SessionRecord, Verdict, record, sort_gaps

WIDTH = 120
RECONNECT_S = 60.0
LATE_S = 90.0
"""How much longer than its audio a session may take."""
_EXIT_CODES = """\b
Exit codes:
  0  every goal is met
  1  one is missed, or the server cannot be disturbed as it should be
  2  wrong usage
"""


@click.command(epilog=_EXIT_CODES, context_settings=session_options.SETTINGS)
@click.option("--minutes", default=2.0, show_default=True, help="Speech in each of the three runs.")
@click.option("--streams", "count", type=click.IntRange(min=1), default=4, show_default=True, help="Sessions at once.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same faults.")
@click.option("--every", "every_s", default=10.0, show_default=True, help="Seconds between faults, on average.")
@click.option("--workers", type=click.IntRange(min=2), default=4, show_default=True, help="Of a server of our own.")
@click.option("--url", help="Disturb this running server of this machine instead of one of our own.")
@run_dir_option("Its RUN_DIR.", envvar=None)
def command(*, workers: int, url: str | None, run_dir: Path, **given: Any) -> None:
    """Stream real speech while workers are killed, hung and drained and connections are cut.

    The same audio is streamed twice undisturbed before, to compare with.
    """
    console = make_console(WIDTH)
    try:
        with ExitStack() as stack:
            running = RunningServer(url, find_run_dir(run_dir)) if url else None
            verdict = asyncio.run(run(running or stack.enter_context(own_server(workers)), console, **given))
            show(verdict, console)
    except (ServerError, SupervisordError, UnreachableError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(0 if all(met for _, met in verdict.goals()) else 1)


def main() -> None:
    command(prog_name="scripts/chaos")


async def run(
    server: RunningServer, console: Console, *, minutes: float, count: int, seed: int, every_s: float
) -> Verdict:
    api = ServerApi(server.url)
    streams = make_streams(shipped_clips(), count, minutes * 60)
    longest_s = max(stream.duration_s for stream in streams)
    undisturbed = []
    for number in (1, 2):
        console.print(f"Undisturbed run {number} of 2: {count} streams of {longest_s:.0f} s")
        async with _proxies(count, api) as proxies:
            undisturbed.append(await _sessions(streams, proxies))
    faults = schedule(seed, longest_s, every_s)
    console.print(f"Disturbed run: {len(faults)} faults, seed {seed}")
    async with _proxies(count, api) as proxies, asyncio.TaskGroup() as group:
        injector = FaultInjector(api, Supervisord(server.run_dir), proxies)
        watching = group.create_task(injector.watch())
        injecting = group.create_task(injector.inject(faults))
        disturbed = await _sessions(streams, proxies)
        await injecting
        await injector.collect()
        watching.cancel()
    gaps = sort_gaps(injector.moves, injector.injected)
    first, second = undisturbed
    return Verdict(first, second, disturbed, tuple(injector.injected), gaps, len(injector.skipped))


@asynccontextmanager
async def _proxies(count: int, api: ServerApi) -> AsyncIterator[list[Proxy]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Proxy(api.host, api.port)) for _ in range(count)]


async def _sessions(streams: Sequence[Stream], proxies: Sequence[Proxy]) -> tuple[SessionRecord, ...]:
    """Say every stream in real time through its own proxy; return what became of each."""
    runs = []
    for stream, proxy in zip(streams, proxies, strict=True):
        settings = SessionSettings(url=proxy.url, flush_timeout_s=LATE_S, reconnect_s=RECONNECT_S)
        runs.append(SessionDriver(settings, stream).run(stream.duration_s + LATE_S))
    normalise = normaliser("en")
    return tuple(record(result, normalise) for result in await asyncio.gather(*runs))

"""Two undisturbed runs, then the disturbed one (shell)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from rich.console import Console

from scripts.tools.corpus import Stream, make_streams, shipped_clips
from scripts.tools.driver import SessionDriver, SessionSettings
from scripts.tools.scoring import normaliser
from scripts.tools.server_api import ServerApi
from scripts.tools.supervisord import Supervisord

from .injector import FaultInjector
from .proxy import Proxy
from .schedule import schedule
from .server import RunningServer
from .verdict import SessionRecord, Verdict, record, sort_gaps

RECONNECT_S = 60.0
LATE_S = 90.0
"""How much longer than its audio a session may take."""


async def run(
    server: RunningServer, console: Console, *, minutes: float, count: int, seed: int, every_s: float
) -> Verdict:
    api = ServerApi(server.url)
    streams = make_streams(shipped_clips(), count, minutes * 60)
    longest_s = max(stream.duration_s for stream in streams)
    undisturbed = []
    for number in (1, 2):
        console.print(f"Undisturbed run {number} of 2: {count} streams of {longest_s:.0f} s", highlight=False)
        async with _proxies(count, api) as proxies:
            undisturbed.append(await _sessions(streams, proxies))
    faults = schedule(seed, longest_s, every_s)
    console.print(f"Disturbed run: {len(faults)} faults, seed {seed}", highlight=False)
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


@contextlib.asynccontextmanager
async def _proxies(count: int, api: ServerApi) -> AsyncIterator[list[Proxy]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Proxy(api.host, api.port)) for _ in range(count)]


async def _sessions(streams: Sequence[Stream], proxies: Sequence[Proxy]) -> tuple[SessionRecord, ...]:
    """Say every stream in real time through its own proxy; return what became of each."""
    runs = []
    for stream, proxy in zip(streams, proxies, strict=True):
        settings = SessionSettings(url=proxy.url, flush_timeout_s=LATE_S, reconnect_s=RECONNECT_S)
        runs.append(SessionDriver(settings, stream).run(stream.duration_s + LATE_S))
    normalise = normaliser("en")
    return tuple(record(result, normalise) for result in await asyncio.gather(*runs))

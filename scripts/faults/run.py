"""Two undisturbed runs, then the disturbed one (shell)."""

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich.console import Console

from scripts.faults.report import show
from scripts.faults.schedule import schedule
from scripts.faults.server import Place
from scripts.faults.sessions import converse, networks
from scripts.faults.strikes import Strikes
from scripts.faults.verdict import Verdict, gaps
from scripts.load.manifest import shipped
from scripts.load.material import streams
from scripts.load.normal import normaliser
from scripts.tools.server_api import ServerApi
from scripts.tools.supervisord import Supervisord


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to do: ``minutes`` of speech in each run, on average a fault in ``every_s``."""

    minutes: float
    count: int
    seed: int
    every_s: float


def run(place: Place, options: Options, console: Console) -> bool:
    """Do all three runs, print the figures, and tell whether the goals are met."""
    verdict = asyncio.run(_run(place, options, console))
    show(verdict, console)
    return all(met for _, met in verdict.goals())


async def _run(place: Place, options: Options, console: Console) -> Verdict:
    material = streams(shipped(), options.count, options.minutes * 60)
    address = urlsplit(place.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    normalise = normaliser("en")
    longest_s = max(stream.duration_s for stream in material)
    undisturbed = []
    for number in (1, 2):
        console.print(f"Undisturbed run {number} of 2: {options.count} streams of {longest_s:.0f} s", highlight=False)
        async with networks(options.count, host, port) as ways:
            undisturbed.append(await converse(material, ways, normalise))
    faults = schedule(options.seed, longest_s, options.every_s)
    console.print(f"Disturbed run: {len(faults)} faults, seed {options.seed}", highlight=False)
    async with networks(options.count, host, port) as ways:
        strikes = Strikes(ServerApi(place.url), Supervisord(place.run_dir), ways)
        watching = asyncio.create_task(strikes.watch())
        try:
            striking = asyncio.create_task(strikes.strike(faults))
            disturbed = await converse(material, ways, normalise)
            await striking
            await strikes.collect()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    return Verdict(
        undisturbed[0],
        undisturbed[1],
        disturbed,
        tuple(strikes.done),
        gaps(strikes.moves, strikes.done),
        len(strikes.skipped),
    )

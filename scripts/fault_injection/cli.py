"""The options of `scripts/chaos` (shell)."""

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from whisper_live_client.cli import session_options

from scripts.server.supervise import find_run_dir
from scripts.tools.options import run_dir_option
from scripts.tools.server_api import UnreachableError
from scripts.tools.supervisord import SupervisordError
from scripts.tools.tables import make_console

from .report import show
from .run import run
from .server import RunningServer, ServerError, own_server

WIDTH = 120
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

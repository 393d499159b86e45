"""The options of `scripts/restart_gpu_worker` (shell)."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from scripts.operating.control import Control, ControlError
from scripts.operating.monitoring import Monitoring, UnreachableError
from scripts.operating.rolling import Options, RefusedError, Rolling
from scripts.supervise import ROOT, make_run_dir
from shared.settings import CommonSettings

_EXIT_CODES = """\b
Exit codes:
  0  each worker is back, and every session it had is still there or ended normally
  1  something went wrong; what, stands above
  2  nothing was done: wrong usage, or refused
"""


@click.command(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("gpu_id", metavar="N", type=click.IntRange(min=0), required=False)
@click.option("--all", "everyone", is_flag=True, help="All workers, one after the other.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    envvar="RUN_DIR",
    default="run",
    show_default=True,
    help="The server's RUN_DIR.",
)
@click.option(
    "--token", envvar="MONITOR_TOKEN", help="The server's MONITOR_TOKEN, if it has one; best in the environment."
)
@click.option("--force", is_flag=True, help="Also when its sessions would have to wait in line for a slot.")
@click.option(
    "--timeout", "timeout_s", metavar="S", default=120.0, show_default=True, help="Bound on one worker's restart."
)
def command(
    *, gpu_id: int | None, everyone: bool, url: str, run_dir: Path, token: str | None, force: bool, timeout_s: float
) -> None:
    """Restart the worker of GPU N: its sessions go on elsewhere, then it stops and starts anew."""
    if (gpu_id is None) != everyone:
        raise click.UsageError("Name one worker, or --all.")
    drain_s = CommonSettings.from_env(os.environ).drain_s
    options = Options(force=force, timeout_s=timeout_s, drain_s=drain_s)
    console = Console()
    rolling = Rolling(Monitoring(url, token), Control(make_run_dir(run_dir, ROOT)), console, options)
    try:
        good = rolling.all() if gpu_id is None else rolling.restart(gpu_id)
    except RefusedError as error:
        click.echo(f"{error} Nothing was done; --force does it all the same.", err=True)
        sys.exit(2)
    except (UnreachableError, ControlError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(0 if good else 1)


def main() -> None:
    """Run the command."""
    command(prog_name="scripts/restart_gpu_worker")

"""The options of `scripts/status` (shell)."""

import json
import os
import socket
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from scripts.operating.control import Control, ControlError
from scripts.operating.monitoring import TIMEOUT_S, Monitoring, UnreachableError
from scripts.operating.overview import Overview
from scripts.operating.screen import WIDTH, State, screen
from scripts.supervise import ROOT, RUN_DIR_LIMIT_BYTES, make_run_dir

_EXIT_CODES = """\b
Exit codes:
  0  the gateway answers and serves (healthy, or degraded: 70 to 90 % of the slots in use)
  1  critical: over 90 % in use, or no worker serves; or the gateway cannot be asked
  2  wrong usage
"""


@click.command(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    envvar="RUN_DIR",
    default="run",
    show_default=True,
    help="The server's RUN_DIR, where supervisord's socket is.",
)
@click.option("--token", envvar="MONITOR_TOKEN", help="The server's MONITOR_TOKEN; best in the environment.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    metavar="S",
    type=click.FloatRange(min=0.2),
    default=1.0,
    show_default=True,
    help="How often to look, with --watch.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON; with --watch one line each time.")
def command(*, url: str, run_dir: Path, token: str | None, watch: bool, every_s: float, as_json: bool) -> None:
    """Show a server's whole state on one screen: health, GPUs, sessions, processes, last events."""
    socket.setdefaulttimeout(TIMEOUT_S)  # for supervisord's socket, whose client knows no bound
    server = Server(url, run_dir, token)
    if not watch:
        state = server.look()
        show(state, as_json=as_json)
        sys.exit(0 if state.healthy else 1)
    try:
        healthy = _watch_json(server, every_s) if as_json else _watch(server, every_s)
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        healthy = True
    sys.exit(0 if healthy else 1)


class Server:
    """One server's gateway and supervisord.

    Args:
        url: the gateway's address.
        run_dir: where supervisord's socket is.
        token: the gateway's MONITOR_TOKEN.
    """

    def __init__(self, url: str, run_dir: Path, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._monitoring = Monitoring(url, token)
        place = (ROOT / run_dir).resolve()
        # Only looked at, so it need not be ours: root may look at the service's.
        too_long = len(os.fsencode(place)) > RUN_DIR_LIMIT_BYTES
        self._control = Control(make_run_dir(run_dir, ROOT) if too_long else place)

    def look(self) -> State:
        """Return the present state, or why it cannot be had."""
        gateway: Overview | str
        try:
            gateway = self._monitoring.overview()
        except UnreachableError as error:
            gateway = str(error)
        try:
            return State(self._url, gateway, tuple(self._control.processes()))
        except ControlError as error:
            return State(self._url, gateway, str(error))


def show(state: State, *, as_json: bool) -> None:
    """Print a state once."""
    if as_json:
        click.echo(json.dumps(as_object(state), indent=2))
        return
    console = _console()
    console.print(screen(state, datetime.now(UTC).astimezone(), console.height))


def as_object(state: State) -> dict[str, object]:
    """Return a state as JSON has it: what could not be asked is null, and ``errors`` says why."""
    gateway, processes = state.gateway, state.processes
    return {
        "url": state.url,
        "healthy": state.healthy,
        "gateway": gateway.body if isinstance(gateway, Overview) else None,
        "processes": None if isinstance(processes, str) else [asdict(each) for each in processes],
        "errors": [each for each in (gateway, processes) if isinstance(each, str)],
    }


def _watch(server: Server, every_s: float) -> bool:
    state, console = server.look(), _console()
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                now = datetime.now(UTC).astimezone()
                live.update(screen(state, now, console.height), refresh=True)
                time.sleep(every_s)
                state = server.look()
        except KeyboardInterrupt:
            return state.healthy


def _watch_json(server: Server, every_s: float) -> bool:
    state = server.look()
    try:
        while True:
            click.echo(json.dumps(as_object(state)))
            time.sleep(every_s)
            state = server.look()
    except KeyboardInterrupt:
        return state.healthy


def _console() -> Console:
    """Return the terminal, or 80 columns where there is none."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDTH)


def main() -> None:
    """Run the command."""
    command(prog_name="scripts/status")

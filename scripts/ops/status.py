"""Show a server's whole state on one screen, once or again and again (`scripts/status`)."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
from rich.live import Live
from whisper_live_client.cli import session_options

from scripts.ops.screen import WIDTH, State, screen
from scripts.server.supervise import find_run_dir
from scripts.tools.options import gateway_token_option, gateway_url_option, run_dir_option
from scripts.tools.server_api import TIMEOUT_S, ServerApi, UnreachableError
from scripts.tools.supervisord import Supervisord, SupervisordError
from scripts.tools.tables import make_console

_T = TypeVar("_T")
_EXIT_CODES = """\b
Exit codes:
  0  the gateway answers and serves (healthy, or degraded: 70 to 90 % of the slots in use)
  1  critical: over 90 % in use, or no worker serves; or the gateway cannot be asked
  2  wrong usage
"""


@click.command(epilog=_EXIT_CODES, context_settings=session_options.SETTINGS)
@gateway_url_option
@run_dir_option("The server's RUN_DIR, where supervisord's socket is.")
@gateway_token_option
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@session_options.seconds("--every", "every_s", "How often to look, with --watch.", default=1.0, least=0.2)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON; with --watch one line each time.")
def command(*, url: str, run_dir: Path, token: str | None, watch: bool, every_s: float, as_json: bool) -> None:
    """Show a server's whole state on one screen: health, GPUs, sessions, processes, last events."""
    socket.setdefaulttimeout(TIMEOUT_S)  # for supervisord's socket, whose client knows no bound
    look = partial(take_state, url.rstrip("/"), ServerApi(url, token), Supervisord(find_run_dir(run_dir)))
    if not watch:
        state = look()
        show(state, as_json=as_json)
        sys.exit(0 if state.healthy else 1)
    try:
        healthy = _watch(look, every_s, as_json=as_json)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        healthy = True
    sys.exit(0 if healthy else 1)


def main() -> None:
    command(prog_name="scripts/status")


def take_state(url: str, api: ServerApi, supervisord: Supervisord) -> State:
    return State(url, _ask(api.monitor_state), _ask(supervisord.processes))


def _ask(part: Callable[[], _T]) -> _T | str:
    """Return the answer, or why there is none."""
    try:
        return part()
    except (UnreachableError, SupervisordError) as error:
        return str(error)


def show(state: State, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_object(state), indent=2))
        return
    console = make_console(WIDTH)
    console.print(screen(state, _now(), console.height))


def as_object(state: State) -> dict[str, object]:
    """Return a state as JSON has it: what could not be asked is null, and ``errors`` says why."""
    gateway, processes = state.gateway, state.processes
    return {
        "url": state.url,
        "healthy": state.healthy,
        "gateway": None if isinstance(gateway, str) else gateway.body,
        "processes": None if isinstance(processes, str) else [asdict(each) for each in processes],
        "errors": [each for each in (gateway, processes) if isinstance(each, str)],
    }


def _watch(look: Callable[[], State], every_s: float, *, as_json: bool) -> bool:
    state, console = look(), make_console(WIDTH)
    live = Live(console=console, screen=console.is_terminal, auto_refresh=False)
    with nullcontext() if as_json else live:
        try:
            while True:
                if as_json:
                    click.echo(json.dumps(as_object(state)))
                else:
                    live.update(screen(state, _now(), console.height), refresh=True)
                time.sleep(every_s)
                state = look()
        except KeyboardInterrupt:
            return state.healthy


def _now() -> datetime:
    return datetime.now(UTC).astimezone()

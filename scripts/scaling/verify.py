"""Make all checks on a running server, print them, and return the exit code (`scripts/verify_scaling`)."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from typing import Any

import click
from whisper_live_client import Mode
from whisper_live_client.cli import session_options
from whisper_live_client.connection import session_url
from whisper_live_client.outcome import Exit

from scripts.tools.driver import SessionSettings
from scripts.tools.options import json_option, monitor_token_option
from scripts.tools.server_api import ServerApi, UnreachableError
from scripts.tools.tables import make_console

from .checks import good, judge
from .observer import CannotRunError
from .report import PIPE_WIDTH, Lines, print_report, render, write
from .runner import Limits, Runner

GOOD, BAD, CANNOT_RUN = 0, 1, 3
_FLUSH_TIMEOUT_S = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_CODES = """\b
Exit codes:
  0    all checks pass (those that this server cannot be asked are named)
  1    a check fails, or was not reached
  2    wrong usage
  3    cannot run: no server, no token, no free slot, or other people's sessions
  130  interrupted
"""


@click.command(epilog=_EXIT_CODES, context_settings=session_options.SETTINGS)
@session_options.url
@session_options.token
@monitor_token_option
@session_options.seconds("--seconds", "seconds", "How long all sessions speak together.", default=10.0, least=1.0)
@session_options.seconds(
    "--release-within",
    "release_s",
    "How long memory may take to be returned after the last session; it is not waited for longer than needed.",
    default=60.0,
)
@session_options.seconds(
    "--patience", "ready_s", "How long a session may take to become ready.", default=60.0, least=1.0
)
@session_options.mode
@click.option("--language", metavar="CODE", help="Language that the server is told; what is spoken is English.")
@click.option("--anyway", is_flag=True, help="Also on a server with other people's sessions, which may suffer.")
@json_option("Write everything there as JSON; - for standard output.")
def command(
    *,
    url: str,
    token: str | None,
    monitor_token: str | None,
    mode: Mode,
    language: str | None,
    json_path: str | None,
    **limits: Any,
) -> int:
    """Verify on a running server that connecting is fast, that it scales, and that its GPUs are used right.

    Makes the operator guide's three tests, five checks and six success criteria with real sessions that speak in
    real time: one, then half of the slots, then all, then one too many. The server should be idle.
    """
    settings = SessionSettings(url=url, mode=mode, language=language, token=token, flush_timeout_s=_FLUSH_TIMEOUT_S)
    return run(settings, Limits(**limits), ServerApi(session_url(url, {}), monitor_token), json_path)


def main() -> int:
    return session_options.run_command(command)


def run(settings: SessionSettings, limits: Limits, api: ServerApi, json_path: str | None) -> int:
    console = make_console(PIPE_WIDTH, stderr=json_path == "-")
    began = datetime.now(UTC)
    runner = Runner(api, settings, limits, Lines(console).show)
    trouble: str | None = None
    interrupted = False
    try:
        interrupted = asyncio.run(_until_the_end(runner))
    except (CannotRunError, UnreachableError) as error:
        trouble = str(error)
    rows = judge(runner.seen) if runner.seen else ()
    code = GOOD if good(rows) else BAD
    if trouble is not None:
        code = CANNOT_RUN
    elif interrupted or not rows:
        code = Exit.INTERRUPTED
    print_report(console, settings.url, rows, runner.seen, passed=code == GOOD)
    if trouble is not None:
        trouble_line = f"{'Stopped' if runner.seen else 'Cannot run'}: {trouble}"
        console.print(trouble_line, style="red", markup=False, soft_wrap=True)
    if code == Exit.INTERRUPTED and runner.left == 0:
        console.print("Interrupted; no session was left behind.", markup=False)
    if runner.left:
        console.print(f"The server still counts {runner.left} sessions more than before.", style="red", markup=False)
    about: dict[str, object] = {
        "began": began.isoformat(timespec="seconds"),
        "url": settings.url,
        "seconds": limits.seconds,
    }
    about |= {"interrupted": interrupted, "trouble": trouble, "exit_code": code}
    write(json_path, render(about, rows, runner.seen))
    return code


async def _until_the_end(runner: Runner) -> bool:
    running = asyncio.create_task(runner.run())
    for number in _SIGNALS:
        with contextlib.suppress(NotImplementedError):  # where there are no such signals Ctrl-C ends everything
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return True
    return False

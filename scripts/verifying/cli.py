"""The options of `scripts/verify_scaling` (shell)."""

from pathlib import Path
from typing import cast

import click
from whisper_live_client.connection import session_url
from whisper_live_client.session import Mode

from .guest import Wishes
from .run import INTERRUPTED, Options, run
from .story import Bounds

_EXIT_CODES = """\b
Exit codes:
  0    all checks pass (those that this server cannot be asked are named)
  1    a check fails, or was not reached
  2    wrong usage
  3    cannot run: no server, no token, no free slot, or other people's sessions
  130  interrupted
"""


@click.command(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="WHISPER_LIVE_URL",
    default="ws://127.0.0.1:8000/asr",
    show_default=True,
    help="The server; http(s):// works too. [env: WHISPER_LIVE_URL]",
)
@click.option(
    "--token",
    envvar="API_TOKEN",
    metavar="TOKEN",
    help="The server's token; safer in API_TOKEN, where other users do not see it.",
)
@click.option(
    "--monitor-token",
    envvar="MONITOR_TOKEN",
    metavar="TOKEN",
    help="The token of its monitoring endpoints; safer in MONITOR_TOKEN.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How long all sessions speak together.",
)
@click.option(
    "--release-within",
    "release_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="How long memory may take to be returned after the last session; it is not waited for longer than needed.",
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="S",
    help="How long a session may take to become ready.",
)
@click.option("--mode", type=click.Choice(["events", "full"]), default="events", show_default=True)
@click.option("--language", metavar="CODE", help="Language that the server is told; what is spoken is English.")
@click.option("--anyway", is_flag=True, help="Also on a server with other people's sessions, which may suffer.")
@click.option("--json", "json_path", metavar="FILE", help="Write everything there as JSON; - for standard output.")
def command(
    *,
    url: str,
    token: str | None,
    monitor_token: str | None,
    seconds: float,
    release_s: float,
    patience_s: float,
    mode: str,
    language: str | None,
    anyway: bool,
    json_path: str | None,
) -> int:
    """Verify on a running server that connecting is fast, that it scales, and that its GPUs are used right.

    Makes the operator guide's three tests, five checks and six success criteria with real sessions that speak in
    real time: one, then half of the slots, then all, then one too many. The server should be idle.
    """
    try:
        session_url(url, {})
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from error
    if json_path not in {None, "-"} and not Path(str(json_path)).resolve().parent.is_dir():
        raise click.UsageError(f"--json: there is no directory {Path(str(json_path)).resolve().parent}")
    wishes = Wishes(url=url, mode=cast("Mode", mode), language=language, token=token, patience_s=patience_s)
    bounds = Bounds(seconds=seconds, release_s=release_s, anyway=anyway)
    return run(Options(wishes, bounds, monitor_token, json_path))


def main() -> int:
    """Run the command with the process's arguments and return its exit code."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED

"""Command-line options that several commands declare alike, and how their commands are run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from whisper_live_client.connection import session_url

_Command = TypeVar("_Command", bound=Callable[..., Any])

INTERRUPTED = 130
SETTINGS = {"help_option_names": ["-h", "--help"]}
"""Every command's ``context_settings``."""


def _sessions_at(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        session_url(value, {})
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from error
    return value


def _writable(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value not in {None, "-"} and not Path(str(value)).resolve().parent.is_dir():
        raise click.UsageError(f"--json: there is no directory {Path(str(value)).resolve().parent}")
    return value


session_url_option = click.option(
    "--url",
    envvar="WHISPER_LIVE_URL",
    default="ws://127.0.0.1:8000/asr",
    show_default=True,
    callback=_sessions_at,
    help="The server; http(s):// works too. [env: WHISPER_LIVE_URL]",
)
token_option = click.option(
    "--token",
    envvar="API_TOKEN",
    metavar="TOKEN",
    help="The server's token; safer in API_TOKEN, where other users do not see it.",
)
monitor_token_option = click.option(
    "--monitor-token",
    envvar="MONITOR_TOKEN",
    metavar="TOKEN",
    help="The token of its monitoring endpoints; safer in MONITOR_TOKEN.",
)
mode_option = click.option("--mode", type=click.Choice(["events", "full"]), default="events", show_default=True)

gateway_url_option = click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
gateway_token_option = click.option(
    "--token", envvar="MONITOR_TOKEN", help="The server's MONITOR_TOKEN, if it has one; best in the environment."
)


def run_dir_option(about: str, envvar: str | None = "RUN_DIR") -> Callable[[_Command], _Command]:
    """Return the option ``--run-dir``, a relative path of which is meant as the server means it."""
    return click.option(
        "--run-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar=envvar,
        default="run",
        show_default=True,
        help=about,
    )


def json_option(about: str) -> Callable[[_Command], _Command]:
    """Return the option ``--json FILE``; a file in a directory that is not there is refused, ``-`` is not."""
    return click.option("--json", "json_path", metavar="FILE", callback=_writable, help=about)


def seconds_option(
    name: str, variable: str, about: str, *, default: float, least: float = 0.0
) -> Callable[[_Command], _Command]:
    return click.option(
        name, variable, type=click.FloatRange(min=least), default=default, show_default=True, metavar="S", help=about
    )


def run_command(command: click.Command) -> int:
    """Run a command that returns its exit code, with the process's arguments, and return the code."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED

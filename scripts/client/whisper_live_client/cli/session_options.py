"""The options of commands that have sessions with a server, and how such a command is run."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from whisper_live_client.connection import session_url
from whisper_live_client.outcome import Exit

_Command = TypeVar("_Command", bound=Callable[..., Any])

SETTINGS = {"help_option_names": ["-h", "--help"]}
"""Every command's ``context_settings``."""


def _server_url(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        session_url(value, {})
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from error
    return value


url = click.option(
    "--url",
    envvar="WHISPER_LIVE_URL",
    default="ws://127.0.0.1:8000/asr",
    show_default=True,
    callback=_server_url,
    help="The server; http(s):// works too. [env: WHISPER_LIVE_URL]",
)
token = click.option(
    "--token",
    envvar="API_TOKEN",
    metavar="TOKEN",
    help="The server's token; safer in API_TOKEN, where other users do not see it.",
)
mode = click.option("--mode", type=click.Choice(["events", "full"]), default="events", show_default=True)
language = click.option("--language", metavar="LANGUAGE", help="Language that is spoken, like en, pt-BR or French.")


def seconds(
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
        return Exit.INTERRUPTED

"""Options that several commands declare alike, besides those of the client's sessions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _writable(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value not in {None, "-"} and not Path(str(value)).resolve().parent.is_dir():
        raise click.UsageError(f"--json: there is no directory {Path(str(value)).resolve().parent}")
    return value


monitor_token_option = click.option(
    "--monitor-token",
    envvar="MONITOR_TOKEN",
    metavar="TOKEN",
    help="The token of its monitoring endpoints; safer in MONITOR_TOKEN.",
)
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

"""The options of `scripts/load_test` (shell)."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from whisper_live_client.cli import session_options
from whisper_live_client.outcome import Exit

from scripts.server.supervise import find_run_dir
from scripts.tools.driver import SessionSettings
from scripts.tools.options import json_option, monitor_token_option, run_dir_option

from .bounds import Bound, parse_bound
from .chart import draw, read
from .results import Options
from .run import run
from .summary import FIGURES

_SHIPPED_SECONDS = 60.0

_EPILOG = f"""\b
Exit codes:
  0    all sessions complete, all samples accounted for, all bounds met
  1    a session failed or was refused, books do not add up, or the server broke a promise of the protocol
  2    wrong usage, the material cannot be read, or there is no server
  3    a bound of --require is not met
  130  interrupted (what was measured until then is printed)

Figures for --require: {", ".join(FIGURES)}.
"""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _counts(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in value.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise click.BadParameter("give numbers from 1 on, like 4 or 1,4,16")
    return counts


def _bounds(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[Bound, ...]:
    try:
        return tuple(parse_bound(value, FIGURES) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(epilog=_EPILOG, context_settings=session_options.SETTINGS)
@click.argument("files", nargs=-1, type=_FILE)
@session_options.url
@click.option("--streams", "counts", default="1", show_default=True, callback=_counts, metavar="N[,N...]",
              help="Sessions at the same time; of several numbers, one load after another.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True),
              help="Repeat the material until each stream is so long (it ends with a whole utterance). "
              f"[default: {_SHIPPED_SECONDS:g} with the shipped clips, a set once through]")  # fmt: skip
@session_options.seconds("--ramp", "ramp_s", "Spread the starts of the sessions over this time.", default=2.0)
@click.option("--manifest", type=_FILE,
              help="JSON lines of id, audio, text, words, with a sets.json beside it. "
              "[default: the shipped clips]")  # fmt: skip
@click.option("--set", "set_name", metavar="NAME", help="The set of --manifest to say.")
@session_options.mode
@session_options.language
@session_options.token
@monitor_token_option
@click.option("--message-ms", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Audio a message.")
@session_options.seconds("--patience", "patience_s", "Give a session up when it takes so much longer than its audio.",
                default=120.0)  # fmt: skip
@click.option("--reference", metavar="MODEL", help="Afterwards transcribe the same streams offline with this model, "
              "and compare the word error rates (slow).")  # fmt: skip
@click.option("--pid", "pids", type=int, multiple=True, help="A process of the server, for its CPU time; repeatable.")
@run_dir_option("Where the server's supervisord.pid is, if no --pid is given. [env: RUN_DIR]")
@json_option("Write everything that is measured to a file.")
@click.option("--plot", "plot_path", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="SVG",
              help="Draw latency and CPU against streams: of FILES that --json wrote, or else of what is measured "
              "now.")  # fmt: skip
@click.option("--require", "bounds", multiple=True, callback=_bounds, metavar="[N:]FIGURE<=X",
              help="A bound that must be met, at N streams or at each number of them; repeatable.")  # fmt: skip
def command(*, files: tuple[Path, ...], json_path: str | None, **given: Any) -> int:
    """Have real-time sessions with a running server, and measure what their users feel.

    Delays are taken from the moment at which the last sample of a word leaves this client. Ctrl-C ends the audio,
    waits for the last words and prints what there is; a second one quits.

    With FILES nothing is measured: --plot draws them.
    """
    if files:
        if given["plot_path"] is None:
            raise click.UsageError("FILES are for --plot")
        try:
            draw(read(files), given["plot_path"])
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return Exit.COMPLETE
    if (given["manifest"] is None) != (given["set_name"] is None):
        raise click.UsageError("--manifest and --set go together")
    if given["seconds"] is None and given["manifest"] is None:
        given["seconds"] = _SHIPPED_SECONDS
    given["run_dir"] = find_run_dir(given["run_dir"])
    session = SessionSettings(
        **{each.name: given.pop(each.name) for each in fields(SessionSettings) if each.name in given}
    )
    options = Options(**given, session=session, json_path=Path(json_path) if json_path else None)
    return run(options)


def main() -> int:
    return session_options.run_command(command)

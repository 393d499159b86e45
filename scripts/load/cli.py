"""The options of `scripts/load_test` (shell)."""

from dataclasses import fields
from pathlib import Path
from typing import cast

import click
from whisper_live_client.connection import session_url
from whisper_live_client.outcome import Exit
from whisper_live_client.session import Mode

from .bounds import Bound, parse_bound
from .drive import Wishes
from .measurement import Options
from .observations import ServerFigures
from .summary import DelayFigures, EndFigures, WordFigures

_ROOT = Path(__file__).resolve().parents[2]
_SHIPPED_SECONDS = 60.0
_FIGURES = tuple(
    each.name for group in (WordFigures, DelayFigures, ServerFigures, EndFigures) for each in fields(group)
)

_EPILOG = f"""\b
Exit codes:
  0    all sessions complete, all samples accounted for, all bounds met
  1    a session failed or was refused, books do not add up, or the server broke a promise of the protocol
  2    wrong usage, the material cannot be read, or there is no server
  3    a bound of --require is not met
  130  interrupted (what was measured until then is printed)

Figures for --require: {", ".join(_FIGURES)}.
"""


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
        return tuple(parse_bound(value, _FIGURES) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="WHISPER_LIVE_URL",
    default="ws://127.0.0.1:8000/asr",
    show_default=True,
    help="The server; http(s):// works too. [env: WHISPER_LIVE_URL]",
)
@click.option(
    "--streams",
    "counts",
    default="1",
    show_default=True,
    callback=_counts,
    metavar="N[,N...]",
    help="Sessions at the same time; of several numbers, one load after another.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Repeat the material until each stream is so long (it ends with a whole utterance). "
    f"[default: {_SHIPPED_SECONDS:g} with the shipped clips, a set once through]",
)
@click.option("--ramp", "ramp_s", type=click.FloatRange(min=0), default=2.0, show_default=True, metavar="S")
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines of id, audio, text, words, with a sets.json beside it. [default: the shipped clips]",
)
@click.option("--set", "set_name", metavar="NAME", help="The set of --manifest to say.")
@click.option("--mode", type=click.Choice(["events", "full"]), default="events", show_default=True)
@click.option("--language", metavar="CODE", help="Language that is spoken, like en or fr.")
@click.option("--token", envvar="API_TOKEN", metavar="TOKEN", help="The server's token; safer in API_TOKEN.")
@click.option(
    "--monitor-token",
    envvar="MONITOR_TOKEN",
    metavar="TOKEN",
    help="The token of its monitoring endpoints; safer in MONITOR_TOKEN.",
)
@click.option("--message-ms", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Audio a message.")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    metavar="S",
    help="Give a session up when it takes so much longer than its audio.",
)
@click.option(
    "--reference",
    metavar="MODEL",
    help="Afterwards transcribe the same streams offline with this model, and compare the word error rates (slow).",
)
@click.option("--pid", "pids", type=int, multiple=True, help="A process of the server, for its CPU time; repeatable.")
@click.option(
    "--run-dir",
    envvar="RUN_DIR",
    default="run",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server's supervisord.pid is, if no --pid is given. [env: RUN_DIR]",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE")
@click.option(
    "--require",
    "bounds",
    multiple=True,
    callback=_bounds,
    metavar="[N:]FIGURE<=X",
    help="A bound that must be met, at N streams or at each number of them; repeatable.",
)
def command(
    *,
    url: str,
    counts: tuple[int, ...],
    seconds: float | None,
    ramp_s: float,
    manifest: Path | None,
    set_name: str | None,
    mode: str,
    language: str | None,
    token: str | None,
    monitor_token: str | None,
    message_ms: int,
    patience_s: float,
    reference: str | None,
    pids: tuple[int, ...],
    run_dir: Path,
    json_path: Path | None,
    bounds: tuple[Bound, ...],
) -> int:
    """Have real-time sessions with a running server, and measure what their users feel.

    Delays are taken from the moment at which the last sample of a word leaves this client. Ctrl-C ends the audio,
    waits for the last words and prints what there is; a second one quits.
    """
    if (manifest is None) != (set_name is None):
        raise click.UsageError("--manifest and --set go together")
    if json_path is not None and not json_path.resolve().parent.is_dir():
        raise click.UsageError(f"--json: there is no directory {json_path.resolve().parent}")
    try:
        session_url(url, {})
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from error
    from .run import run  # noqa: PLC0415 - torch comes with it, which --help and a wrong option need not wait for

    wishes = Wishes(
        url=url,
        mode=cast("Mode", mode),
        language=language,
        token=token,
        ramp_s=ramp_s,
        message_ms=message_ms,
        patience_s=patience_s,
    )
    options = Options(
        wishes=wishes,
        monitor_token=monitor_token,
        counts=counts,
        seconds=seconds if seconds is not None or manifest is not None else _SHIPPED_SECONDS,
        manifest=manifest,
        set_name=set_name,
        reference=reference,
        pids=pids,
        run_dir=_ROOT / run_dir,  # the server takes a relative one from there, too
        json_path=json_path,
        bounds=bounds,
    )
    return run(options)


def main() -> int:
    """Run the command with the process's arguments and return its exit code."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED

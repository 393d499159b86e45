"""The options of `scripts/bench_engine` (shell)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
from whisper_live_client.cli import session_options

from scripts.tools.options import json_option

from .options import EVERYDAY, Options

_SHIPPED_SECONDS = 60.0
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_EPILOG = """\b
Exit codes:
  0    measured
  1    measured with --set everyday, and a row is more than a point worse live than offline
  2    wrong usage, or the material cannot be read
  3    cannot be measured here: no such weights, or no GPU where one is asked for
  130  interrupted
"""


def _list_of(convert: Callable[..., object]) -> Callable[..., tuple[object, ...]]:
    """Return an option's callback that takes values with commas between them, each once."""

    def callback(context: click.Context, option: click.Parameter, value: str | None) -> tuple[object, ...]:
        parts = [] if value is None else value.split(",")
        return tuple(dict.fromkeys(convert(part, option, context) for part in parts))

    return callback


@click.command(epilog=_EPILOG, context_settings=session_options.SETTINGS)
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--manifest", type=_FILE, help="JSON lines of id, audio, text, words, lang; sets.json beside it.")
@click.option("--set", "set_name", metavar="NAME",
              help=f"The set of --manifest to say, or {EVERYDAY}, which needs none: what people try first, live "
              "against offline, row by row. [default: the shipped clips]")  # fmt: skip
@click.option("--streams", "most", type=click.IntRange(min=1), metavar="N", help="Take only the set's first N streams.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S",
              help="Repeat the material until it is S seconds long. "
              f"[default: {_SHIPPED_SECONDS:g} with the shipped clips, a set or files once through]")  # fmt: skip
@click.option("--model", default="tiny.en", show_default=True, help="An official Whisper name or a checkpoint.")
@click.option("--language", metavar="CODE", help="Language that is spoken; detected without it.")
@click.option("--task", type=click.Choice(["transcribe", "translate"]), default="transcribe", show_default=True,
              help="For --replay and --languages, where a translation is held against the offline one.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="For --replay and --random-weights: cpu or cuda.")
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
@click.option("--cadence", "--cadences", "cadences", metavar="S[,S...]",
              callback=_list_of(click.FloatRange(min=0, min_open=True).convert),
              help="Seconds between two decodes; several give the trade-off curve. "
              f"[default: 1, with --set {EVERYDAY} 0.5,1]")  # fmt: skip
@click.option("--plain/--no-plain", default=True, help="With or without the plain baseline (it is slow).")
@click.option("--offline/--no-offline", default=True, help="With or without the offline reference.")
@click.option("--replay", is_flag=True, help="Run ours alone, over FILES or the material, and print what it hears.")
@click.option("--words", is_flag=True, help="For --replay: print each word with its times.")
@click.option("--piece", "piece_s", type=click.FloatRange(min=0), default=0.1, show_default=True,
              help="For --replay: seconds of audio brought at a time; 0 brings all at once.")  # fmt: skip
@click.option("--languages", callback=_list_of(click.STRING.convert), metavar="CODE[,CODE...]",
              help="Measure languages instead: sessions of --manifest's clips in each, with the language given and "
              "with it detected.")  # fmt: skip
@click.option("--clips", default="*", show_default=True, metavar="PATTERN[,PATTERN...]",
              help=f"For --languages and --set {EVERYDAY}: only clips whose id, or rows whose name, fits.")  # fmt: skip
@click.option("--random-weights", is_flag=True, help="Find how many streams a device carries, with weights made up "
              "for --model's size: no checkpoint is needed, and each window is as long and takes as many tokens as "
              "measured on speech.")  # fmt: skip
@click.option("--batches", callback=_list_of(click.IntRange(min=1).convert), metavar="N[,N...]",
              help="For --random-weights: windows in a step. [default: powers of two]")  # fmt: skip
@json_option("Write everything that was measured; - prints it in place of the tables.")
def command(**options: object) -> int:
    """Measure the recognition engine, side by side with baselines in one process, without any server.

    All contestants hear the same audio a tenth of a second at a time, in turn. Latencies are in audio time: the
    compute of a step comes on top. CPU time is that of the process while a contestant is at work.
    """
    from .run import run  # noqa: PLC0415 - torch comes with it, which --help need not wait for

    asked = Options(**options)  # type: ignore[arg-type]  # click has checked them
    if asked.languages:
        if asked.manifest is None or asked.set_name is not None:
            raise click.UsageError("--languages needs a --manifest and no --set")
    elif asked.set_name == EVERYDAY and asked.manifest is None:
        if asked.files or asked.replay or asked.random_weights:
            raise click.UsageError(f"--set {EVERYDAY} is heard without FILES, --replay and --random-weights")
    elif (asked.manifest is None) != (asked.set_name is None):
        raise click.UsageError("--manifest and --set go together")
    if asked.files and (not asked.replay or asked.manifest is not None):
        raise click.UsageError("FILES are for --replay, in place of a --set")
    if not asked.cadences:
        asked = replace(asked, cadences=(0.5, 1.0) if asked.everyday else (1.0,))
    if asked.seconds is None and asked.manifest is None and not asked.files:
        asked = replace(asked, seconds=_SHIPPED_SECONDS)
    return run(asked)


def main() -> int:
    return session_options.run_command(command)

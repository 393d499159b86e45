"""The options of `scripts/bench_engine` (shell)."""

from pathlib import Path

import click

_SHIPPED_SECONDS = 60.0
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_EPILOG = """\b
Exit codes:
  0    measured
  2    wrong usage, or the material cannot be read
  3    cannot be measured here: no such weights, or no GPU where one is asked for
  130  interrupted
"""


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) <= 0:
        raise click.BadParameter("give numbers above 0, like 1 or 0.5,1,2")
    return numbers


def _codes(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.split(","))) if value else ()


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--manifest", type=_FILE, help="JSON lines of id, audio, text, words, lang; sets.json beside it.")
@click.option("--set", "set_name", metavar="NAME", help="The set of --manifest to say. [default: the shipped clips]")
@click.option("--streams", "most", type=click.IntRange(min=1), help="Take only the first so many streams of the set.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Repeat the material for so long. "
              f"[default: {_SHIPPED_SECONDS:g} with the shipped clips, a set once through]")  # fmt: skip
@click.option("--model", default="tiny.en", show_default=True, help="An official Whisper name or a checkpoint.")
@click.option("--language", metavar="CODE", help="Language that is spoken; detected without it.")
@click.option("--cadence", "--cadences", "cadences", default="1", show_default=True, callback=_numbers,
              metavar="S[,S...]", help="Seconds between two decodes; several give the trade-off curve.")  # fmt: skip
@click.option("--plain-cadence", "plain_s", default=1.0, show_default=True, help="The baselines' cadence.")
@click.option("--plain/--no-plain", default=True, help="With or without the plain baseline (it is slow).")
@click.option("--offline/--no-offline", default=True, help="With or without the offline reference.")
@click.option("--faster-model", metavar="NAME", help="faster-whisper's name or folder of the same model.")
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
@click.option("--encode", is_flag=True, help="Measure the encoder alone instead: 30 s in full against compacted.")
@click.option("--company", "count", type=click.IntRange(min=2), metavar="N",
              help="Measure N streams stepped together against each alone instead.")  # fmt: skip
@click.option("--languages", callback=_codes, metavar="CODE[,CODE...]", help="Measure languages instead: sessions of "
              "--manifest's clips in each, with the language given and with it detected.")  # fmt: skip
@click.option("--clips", default="*", show_default=True, metavar="PATTERN[,PATTERN...]",
              help="For --languages: only clips whose id fits.")  # fmt: skip
@click.option("--joined", is_flag=True, help="For --languages: one session a language, all its clips in a row. "
              "[default: one a clip]")  # fmt: skip
@click.option("--task", type=click.Choice(["transcribe", "translate"]), default="transcribe", show_default=True,
              help="For --languages. A translation is held against the offline one.")  # fmt: skip
@click.option("--random-weights", is_flag=True, help="Find how many streams a device carries, with weights made up "
              "for --model's size: no checkpoint is needed, and each window is as long and takes as many tokens as "
              "measured on speech.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="For --random-weights: cpu or cuda.")
@click.option("--batches", metavar="N[,N...]", help="For --random-weights: windows in a step. "
              "[default: powers of two up to a worker's most]")  # fmt: skip
@click.option("--windows", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="For --random-weights: what --write-windows wrote. [default: what comes along]")  # fmt: skip
@click.option("--write-windows", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write what each decode of ours had to do (see --windows) instead of comparing.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE")
def command(**options: object) -> int:
    """Measure the recognition engine, side by side with baselines in one process, without any server.

    All contestants hear the same audio a tenth of a second at a time, in turn. Latencies are in audio time: the
    compute of a step comes on top. CPU time is that of the process while a contestant is at work.
    """
    from .run import Options, run  # noqa: PLC0415 - torch comes with it, which --help need not wait for

    if options["languages"]:
        if options["manifest"] is None or options["set_name"] is not None:
            raise click.UsageError("--languages needs a --manifest and no --set")
    elif (options["manifest"] is None) != (options["set_name"] is None):
        raise click.UsageError("--manifest and --set go together")
    if options["seconds"] is None and options["manifest"] is None:
        options["seconds"] = _SHIPPED_SECONDS
    return run(Options(**options))  # type: ignore[arg-type]  # click has checked them


def main() -> int:
    """Run the command with the process's arguments and return its exit code."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130

"""The options of the command."""

import sys
from pathlib import Path
from typing import Any

import click

from . import session_options
from .run import Options, run

_EXIT_CODES = """\b
Exit codes:
  0    complete
  1    the server reported an error or the connection was lost for good (what there is, is printed)
  2    wrong usage, or the file cannot be read
  3    refused: no GPU resources
  4    wrong token or parameter
  130  interrupted twice
"""


@click.command(epilog=_EXIT_CODES, context_settings=session_options.SETTINGS)
@click.argument("source", required=False, metavar="[FILE|-]")
@click.option("--mic", "microphone", is_flag=True, help="Listen to the microphone instead of a file.")
@click.option("--device", metavar="NAME", help="Microphone to use, like alsa:hw:1 (with --mic).")
@click.option(
    "--track", type=click.IntRange(min=1), metavar="N", help="Audio track to take, from 1 on; else the default one."
)
@click.option("--raw", is_flag=True, help="The input is raw PCM: s16le, 16 kHz, mono.")
@click.option("--fast", is_flag=True, help="Send as fast as the server takes it, not in real time.")
@session_options.url
@session_options.mode
@session_options.seconds(
    "--reconnect", "reconnect_s", "Try for S seconds to get a lost connection back; 0 for never.", default=60.0
)
@session_options.language
@click.option("--task", type=click.Choice(["transcribe", "translate"]))
@session_options.token
@click.option(
    "--format", "output_format", type=click.Choice(["text", "srt", "vtt", "json"]), default="text", show_default=True
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the transcript there.")
@click.option("--quiet", is_flag=True, help="Show nothing while it runs.")
@click.option("--verbose", is_flag=True, help="Say at the end what became of the audio, and how long it took.")
def command(**values: Any) -> int:
    """Transcribe FILE (or standard input, or a microphone) on a live transcription server.

    Audio is sent in real time; words appear on standard error while they come, and the transcript is printed on
    standard output at the end. Any audio or video container is read. A lost connection is restored, and the session
    goes on where it was. Ctrl-C ends the audio and prints what there is; a second one quits.
    """
    options = Options(**values)
    if (options.source is None) == (not options.microphone):
        raise click.UsageError("give one of FILE, - or --mic")
    if options.raw and options.microphone:
        raise click.UsageError("--raw is for files and standard input")
    if options.track is not None and (options.raw or options.microphone):
        raise click.UsageError("--track is for containers")
    if options.device is not None and not options.microphone:
        raise click.UsageError("--device goes with --mic")
    if options.source == "-" and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal: pipe audio into it")
    if options.output is not None and not options.output.resolve().parent.is_dir():
        raise click.UsageError(f"--output: there is no directory {options.output.resolve().parent}")
    return run(options)


def main() -> int:
    return session_options.run_command(command)

"""Obtain a Whisper model by hand, check it, and hear it transcribe a shipped clip (`scripts/fetch_model`)."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from gpu_worker.model.checkpoint import locate, verify

_SECONDS: dict[str, Any] = {"show_default": True, "type": click.FloatRange(min=0, min_open=True)}


@click.command(
    epilog="Exit codes: 0 the model is there and right, 1 it cannot be had, 2 wrong usage, 3 it hears wrong words."
)
@click.argument("name")
@click.option(
    "--cache-dir",
    envvar="MODEL_CACHE_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the weights. [default: $MODEL_CACHE_DIR, else ~/.cache/whisper]",
)
@click.option("--stall-s", **_SECONDS, default=locate.Deadlines().stall_s,
              help="Give a download up when nothing arrives for so many seconds.")  # fmt: skip
@click.option("--limit-s", **_SECONDS, default=locate.Deadlines().total_s,
              help="Give a download up after so many seconds altogether.")  # fmt: skip
@click.option("--hear/--no-hear", default=True, show_default=True, help="Transcribe a shipped clip with it.")
def main(name: str, cache_dir: Path | None, stall_s: float, limit_s: float, *, hear: bool) -> None:
    """Obtain the Whisper model NAME (or check the checkpoint at that path), then transcribe a clip with it."""
    # What a person watches goes to stderr, what came out to stdout.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    folder = cache_dir or locate.default_cache_dir()
    try:
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console) as bar:
            report = _Report(bar)
            deadlines = locate.Deadlines(stall_s=stall_s, total_s=limit_s)
            path = locate.locate(name, cache_dir=folder, progress=report, deadlines=deadlines)
            size_bytes = path.stat().st_size
            if not hear:
                report("checked", size_bytes, size_bytes)
                click.echo(path)
                return
            report("transcribing a clip", 0, None)
            result = verify.verify_checkpoint(path)
            report("done", size_bytes, size_bytes)
    except locate.ModelUnavailableError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    click.echo(path)
    click.echo(f"said : {result.clip.text}")
    click.echo(f"heard: {result.transcript}")
    click.echo(f"{'right' if result.passed else 'WRONG'}: {result.words - result.errors} of {result.words} words")
    sys.exit(0 if result.passed else 3)


class _Report:
    """Show on one line what `locate` tells; a new activity begins with an empty bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._what = "looking"
        self._task = bar.add_task(self._what, total=None)

    def __call__(self, what: str, done_bytes: int, total_bytes: int | None) -> None:
        if what != self._what:
            self._what = what
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total_bytes)
        self._bar.update(self._task, completed=done_bytes, total=total_bytes)

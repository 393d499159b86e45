"""Command line of scripts/replay."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from whisper_live_client.media import MediaError

from gpu_worker.model import load_recognizer
from gpu_worker.recognizer import Recognizer
from scripts.replaying.measures import Measures, measure
from scripts.replaying.recordings import Recording, read_file, read_set
from scripts.replaying.run import Cadence, Replay, replay
from shared.errors import ModelUnavailableError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--set", "names", multiple=True, help="Replay a set of --sets (may be given again).")
@click.option("--manifest", "manifests", multiple=True, type=_FILE, help="Clips with texts, one JSON object a line.")
@click.option("--sets", type=_FILE, help="Streams made of the manifests' clips.")
@click.option("--period", default=1.0, show_default=True, help="Seconds of audio between two decodes.")
@click.option("--piece", default=0.1, show_default=True, help="Seconds of audio brought at a time.")
@click.option("--at-once", is_flag=True, help="Bring all audio at once: the stream catches up.")
@click.option("--repeat", default=1, show_default=True, help="Play each recording so many times in a row.")
@click.option("--model", default="tiny.en", show_default=True, help="An official Whisper name or a checkpoint.")
@click.option("--language", help="Whisper's code; without it a multilingual model detects it.")
@click.option("--task", type=click.Choice(["transcribe", "translate"]), default="transcribe")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
@click.option("--cache", type=click.Path(path_type=Path), default=None, help="Where official models are kept.")
@click.option("--words", is_flag=True, help="Print each word with its times.")
@click.option("--quiet", is_flag=True, help="Print no texts, only the last line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    *,
    files: tuple[Path, ...],
    names: tuple[str, ...],
    manifests: tuple[Path, ...],
    sets: Path | None,
    period: float,
    piece: float,
    at_once: bool,
    repeat: int,
    model: str,
    language: str | None,
    task: str,
    device: str,
    threads: int,
    cache: Path | None,
    words: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run recordings through policy and model without a server.

    Prints the words, and over all recordings the word error rate where texts are known, latencies in audio time where
    word times are known, and compute in seconds of one thread a second of audio.
    """
    cadence = Cadence(period, 0.0 if at_once else piece)
    try:
        recordings = _recordings(files, names, manifests, sets)
        recognizer = load_recognizer(model, cache_dir=cache or _cache_dir(), device=device, threads=threads)
    except (MediaError, ModelUnavailableError, KeyError) as error:
        raise click.ClickException(str(error)) from error
    recognizer.load()
    english = (language or recognizer.info.languages[0]) == "en"
    measures, replays = Measures(), []
    for recording in recordings:
        result = _run(recording.repeated(repeat), recognizer, cadence, language, task)
        replays.append((recording, result))
        measures.add(measure(recording.repeated(repeat), result, english=english))
        if not quiet and not as_json:
            _print_text(recording, result, words=words)
    summary = _summary(measures, [result for _, result in replays])
    if as_json:
        details = [{"name": r.name, "text": result.text, **_figures(result)} for r, result in replays]
        click.echo(json.dumps({**summary, "recordings": details}, indent=1))
    else:
        click.echo(" ".join(f"{name}={value}" for name, value in summary.items()))


def _recordings(
    files: tuple[Path, ...], names: tuple[str, ...], manifests: tuple[Path, ...], sets: Path | None
) -> list[Recording]:
    if names and (sets is None or not manifests):
        raise click.UsageError("--set needs --sets and --manifest")
    if not names and not files:
        raise click.UsageError("nothing to replay: name a FILE or a --set")
    found = [read_file(file) for file in files]
    for name in names:
        if sets is not None:
            found += read_set(list(manifests), sets, name)
    return found


def _run(recording: Recording, recognizer: Recognizer, cadence: Cadence, language: str | None, task: str) -> Replay:
    return replay(recording, recognizer, cadence=cadence, language=language, task=task)


def _print_text(recording: Recording, result: Replay, *, words: bool) -> None:
    click.echo(f"{recording.name} ({result.audio_s:.1f} s): {result.text}")
    if words:
        for word in result.words:
            times = f"{word.start / 16_000:8.2f} {word.end / 16_000:8.2f}"
            click.echo(f"{times} {word.probability:5.2f} {word.text.strip()}")


def _figures(result: Replay) -> dict[str, object]:
    return {
        "audio_s": round(result.audio_s, 2),
        "compute_s": round(result.compute_s, 3),
        "minutes_s": [round(value, 3) for value in result.minutes_s],
        "held_s": round(result.held / 16_000, 2),
        "books": asdict(result.books) if result.books else None,
    }


def _summary(measures: Measures, replays: list[Replay]) -> dict[str, object]:
    audio_s = sum(result.audio_s for result in replays)
    decodes = max(1, sum(result.decodes for result in replays))
    drafted = sum(result.drafted for result in replays)
    return {
        "audio_s": round(audio_s, 1),
        "words": measures.seen,
        "wer": round(measures.errors / measures.reference, 4) if measures.reference else None,
        "shown_s": _percentiles(measures.shown),
        "committed_s": _percentiles(measures.committed),
        "changed": round(measures.changed / measures.seen, 3) if measures.seen else None,
        "compute": round(sum(result.compute_s for result in replays) / audio_s, 4),
        "compute_decode": round(sum(result.decode_s for result in replays) / audio_s, 4),
        "compute_listen": round(sum(result.listen_s for result in replays) / audio_s, 4),
        "compute_policy": round(sum(result.policy_s for result in replays) / audio_s, 5),
        "decodes": sum(result.decodes for result in replays),
        "window_s": round(sum(result.window_s * result.decodes for result in replays) / decodes, 2),
        "longest_s": round(max(result.longest_s for result in replays), 2),
        "held_s": round(max(result.held for result in replays) / 16_000, 2),
        "accepted": round(sum(result.accepted for result in replays) / drafted, 3) if drafted else None,
    }


def _percentiles(values: list[float]) -> list[float] | None:
    """Return the 50th and 95th percentiles."""
    return [round(float(value), 2) for value in np.percentile(values, [50, 95])] if values else None


def _cache_dir() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "whisper"


if __name__ == "__main__":
    sys.exit(main())

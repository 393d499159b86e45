"""Measure what is asked for, print it, and write it as JSON (shell)."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console

from gpu_worker.model.whisper_recognizer import Weights
from scripts.load.manifest import ManifestError, read_language, read_set, shipped
from scripts.load.material import Stream, Utterance
from scripts.load.material import streams as make_streams
from scripts.load.normal import normaliser
from shared.errors import ModelUnavailableError

from .capacity import NoDeviceError
from .carrying import Burden, carry
from .company import compare_company
from .compare import Entry, compare
from .courses import courses
from .encoding import compare_encoders
from .engine import load, read_weights
from .languages import Question, compare_languages
from .room import Room
from .tables import number, output, print_figures, print_rows, value_of
from .windows import Noting, WindowShape, parse, render, thinned

_USAGE, _CANNOT = 2, 3
_WINDOWS = Path(__file__).with_name("windows.json")
_MOST_WINDOWS = 200
JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    manifest: Path | None
    set_name: str | None
    most: int | None
    seconds: float | None
    model: str
    language: str | None
    cadences: tuple[float, ...]
    plain_s: float
    plain: bool
    offline: bool
    faster_model: str | None
    threads: int
    encode: bool
    count: int | None
    languages: tuple[str, ...]
    clips: str
    joined: bool
    task: str
    random_weights: bool
    device: str
    batches: str | None
    windows: Path | None
    write_windows: Path | None
    json_path: Path | None


def run(options: Options) -> int:
    """Measure, print, and return the exit code."""
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    torch.set_num_threads(options.threads)
    try:
        found = _measure(options, notes)
    except (ManifestError, ValueError) as error:
        notes.print(str(error), style="red", markup=False)
        return _USAGE
    except (ModelUnavailableError, NoDeviceError) as error:
        notes.print(str(error), style="red", markup=False)
        return _CANNOT
    if options.json_path is not None:
        about: JsonObject = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": {name: str(value) for name, value in asdict(options).items()},
            "torch": torch.__version__,
            "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        }
        options.json_path.write_text(json.dumps(about | found, indent=1) + "\n", encoding="utf-8")
    return 0


def _measure(options: Options, notes: Console) -> JsonObject:
    if options.random_weights:
        return carry(_burden(options), notes)
    if options.device != "cpu":
        raise ValueError("--device is for --random-weights; with real weights everything is measured on the CPU")
    weights = read_weights(options.model)
    tables = output()
    if options.languages:
        return _languages(weights, options, tables, notes)
    streams = _streams(options)
    if options.write_windows is not None:
        _write_windows(weights, streams, options, options.write_windows)
        return {}
    if options.encode or options.count:
        found: JsonObject = {}
        if options.encode:
            found |= _encode(weights, streams, options, tables, notes)
        if options.count:
            found |= _company(weights, options.count, options, tables, notes)
        return found
    entry = Entry(
        model=options.model,
        language=options.language,
        cadences_s=options.cadences,
        plain_cadence_s=options.plain_s,
        faster_model=options.faster_model,
        threads=options.threads,
        plain=options.plain,
        offline=options.offline,
    )
    figures = compare(weights, streams, entry, notes)
    title = f"{weights.name}, {figures[0].audio_s:.0f} s of audio, {figures[0].words} words"
    print_figures(tables, title, figures)
    return {"comparison": [asdict(each) for each in figures]}


def _languages(weights: Weights, options: Options, tables: Console, notes: Console) -> JsonObject:
    if options.manifest is None:
        raise ValueError("--languages needs a --manifest")
    patterns = options.clips.split(",")
    materials = [
        read_language(options.manifest, each, clips=patterns, joined=options.joined) for each in options.languages
    ]
    question = Question(options.model, options.cadences, options.task)
    with notes.status("") as status:
        answers = compare_languages(weights, load(weights), materials, question, status.update)
    against = "; said is what the offline translation says" if options.task == "translate" else ""
    for answer in answers:
        print_figures(tables, f"{weights.name}, {options.task}, {answer.way}{against}", answer.figures)
    return {"languages": [asdict(answer) for answer in answers]}


def _streams(options: Options, count: int | None = None) -> list[Stream]:
    if options.manifest is None or options.set_name is None:
        return make_streams(shipped(), count or 1, options.seconds)
    material = read_set(options.manifest, options.set_name)
    return make_streams(
        material, count or min(options.most or len(material.lists), len(material.lists)), options.seconds
    )


def _encode(
    weights: Weights, streams: Sequence[Stream], options: Options, tables: Console, notes: Console
) -> JsonObject:
    different: dict[str, Utterance] = {each.id: each for stream in streams for each in stream.utterances}
    with notes.status("") as status:
        ways = compare_encoders(
            weights,
            list(different.values()),
            normaliser(options.language),
            options.language,
            lambda done, of: status.update(f"window {done + 1} of {of}"),
        )
    rows = [
        ("encode a window, ms of CPU", [number(way.encode_ms, ".1f") for way in ways]),
        ("times cheaper than full fp32", [number(way.ratio, ".2f") for way in ways]),
        ("WER, %", [number(way.wer_percent, ".2f") for way in ways]),
        ("  above full fp32, points", [number(value_of(way.above_full), "+.2f") for way in ways]),
        ("encoded again in full", [str(way.fallbacks) for way in ways]),
    ]
    print_rows(tables, f"{weights.name}, the encoder alone, {len(different)} windows", [w.name for w in ways], rows)
    return {"encoders": [asdict(way) for way in ways]}


def _company(weights: Weights, count: int, options: Options, tables: Console, notes: Console) -> JsonObject:
    recognizer = load(weights)
    made = courses(_streams(options, count))
    found: JsonObject = {}
    for period_s in options.cadences:
        with notes.status("") as status:
            told: Callable[[float], None] = lambda at_s: status.update(f"{at_s:.0f} s of audio")  # noqa: E731
            costs = compare_company(recognizer, period_s, made, options.language, told)
        rows = [
            ("CPU-s a second of a stream's audio", [number(cost.cpu_per_audio_s, ".4f") for cost in costs]),
            ("against alone", [number(cost.ratio, ".3f") for cost in costs]),
            ("windows a step", [number(cost.windows_per_step, ".2f") for cost in costs]),
        ]
        names = ["each alone", f"{count} together"]
        print_rows(tables, f"{weights.name}, company, a decode each {period_s:g} s", names, rows)
        found[f"{period_s:g}"] = [asdict(cost) for cost in costs]
    return {"company": found}


def _burden(options: Options) -> Burden:
    batches = None
    if options.batches is not None:
        batches = tuple(int(part) for part in options.batches.split(","))
        if min(batches) < 1:
            raise ValueError("--batches: give numbers from 1 on, like 1,8,64")
    shapes = parse((options.windows or _WINDOWS).read_text(encoding="utf-8"))
    return Burden(options.model, options.device, shapes, batches)


def _write_windows(weights: Weights, streams: Sequence[Stream], options: Options, file: Path) -> None:
    recognizer = Noting(load(weights))
    shapes: dict[float, list[WindowShape]] = {}
    for period_s in options.cadences:
        recognizer.shapes = []
        for course in courses(streams):
            room = Room(recognizer, period_s, [course.recording], options.language)
            for until in range(0, len(course.recording.pcm), 1600):
                room.bring(until)
            room.finish()
        shapes[period_s] = thinned(recognizer.shapes, _MOST_WINDOWS)
    about = {"model": weights.name, "material": options.set_name or "the shipped clips"}
    file.write_text(render(about, shapes), encoding="utf-8")

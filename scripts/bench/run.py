"""Measure what is asked for, print it, and write it as JSON (shell)."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.status import Status
from whisper_live_client.audio import SAMPLE_RATE
from whisper_live_client.media import MediaError, open_file

from gpu_worker.model.checkpoint.locate import default_cache_dir
from gpu_worker.model.loading import load_recognizer
from gpu_worker.recognizer import Recognizer
from scripts.capacity.capacity import measure_capacity
from scripts.capacity.stages import clock_of
from scripts.capacity.step_timing import NoDeviceError, find_device
from scripts.tools.corpus import Corpus, ManifestError, Utterance, make_streams, read_language, read_set
from scripts.tools.scoring import normaliser
from scripts.tools.tables import Report, make_console
from shared.errors import ModelUnavailableError
from shared.messages import Word

from .comparison import compare, race
from .everyday import compare_everyday
from .figures import Figures, figures_of, score_result, table
from .languages import compare_languages
from .options import Options
from .samples import Sample, make_samples
from .slots import ours

_WORSE, _USAGE, _CANNOT = 1, 2, 3


def run(options: Options) -> int:
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    torch.set_num_threads(options.threads)
    try:
        with notes.status("") as status:
            report = _measure(options, status)
    except (ManifestError, MediaError, ModelUnavailableError, NoDeviceError, ValueError) as error:
        notes.print(str(error), style="red", markup=False)
        return _CANNOT if isinstance(error, (ModelUnavailableError, NoDeviceError)) else _USAGE
    if options.json_path != "-":
        report.print(make_console())
    if options.json_path is not None:
        about: dict[str, object] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": {name: str(value) for name, value in asdict(options).items()},
            "torch": torch.__version__,
            "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        }
        text = json.dumps(about | report.found, indent=1, default=asdict) + "\n"
        if options.json_path == "-":
            sys.stdout.write(text)
        else:
            Path(options.json_path).write_text(text, encoding="utf-8")
    return _WORSE if report.found.get("worse") else 0


def _measure(options: Options, status: Status) -> Report:
    if options.random_weights:
        return measure_capacity(options.model, options.device, options.batches, status)
    if options.device != "cpu" and not options.replay:
        raise ValueError("--device is for --random-weights and --replay; all else is measured on the CPU")
    recognizer = load_recognizer(
        options.model,
        cache_dir=default_cache_dir(),
        device=str(find_device(options.device)),
        threads=options.threads,
    )
    recognizer.load()
    if options.everyday:
        return compare_everyday(recognizer, options, status.update)
    if options.languages and options.manifest is not None:
        clips = options.clips.split(",")
        corpora = [read_language(options.manifest, each, clips) for each in options.languages]
        return compare_languages(recognizer, corpora, options, status.update)
    corpus = _corpus(options)
    streams = make_streams(corpus, min(options.most or len(corpus.lists), len(corpus.lists)), options.seconds)
    if options.replay:
        return _replay(recognizer, make_samples(streams), options, status)
    return _report(recognizer, compare(recognizer, streams, make_samples(streams), options, status))


def _corpus(options: Options) -> Corpus:
    if not options.files:
        return read_set(options.manifest, options.set_name)
    utterances = []
    for file in options.files:
        with open_file(str(file)) as media:
            utterances.append(Utterance(file.name, "", (), b"".join(media.pieces())))
    return Corpus("files", tuple((each,) for each in utterances), lead_s=0.0, gap_s=0.0)


def _report(recognizer: Recognizer, figures: Sequence[Figures]) -> Report:
    said = f", {figures[0]['words']} words" if figures[0]["words"] else ""
    title = f"{recognizer.info.name}, {figures[0]['audio_s']:.0f} s of audio{said}"
    return Report({"comparison": figures}, [table(title, figures)])


def _replay(recognizer: Recognizer, samples: Sequence[Sample], options: Options, status: Status) -> Report:
    results = race(
        samples,
        [ours(recognizer, each, options.language, task=options.task) for each in options.cadences],
        lambda at_s: status.update(f"{at_s:.0f} s of audio"),
        piece_s=options.piece_s,
        clock=clock_of(options.device),
    )
    normalise = normaliser(options.language or recognizer.info.languages[0])
    compared = _report(recognizer, [figures_of(score_result(each, samples, normalise), None) for each in results])
    texts: list[str] = []
    recordings: list[dict[str, object]] = []
    for result in results:
        texts += [f"{result.name}:"] if len(results) > 1 else []
        for sample, heard in zip(samples, result.transcriptions, strict=True):
            texts.append(f"{', '.join(sample.clips)} ({sample.audio_s:.1f} s): {heard.text}")
            texts += map(_word_line, heard.words) if options.words else []
            about = {"way": result.name, "clips": sample.clips, "audio_s": sample.audio_s, "text": heard.text}
            recordings.append(about | {"accounting": heard.accounting})
    return Report(compared.found | {"recordings": recordings}, [*texts, *compared.printed])


def _word_line(word: Word) -> str:
    times = f"{word.start / SAMPLE_RATE:8.2f} {word.end / SAMPLE_RATE:8.2f}"
    return f"{times} {word.probability:5.2f} {word.text.strip()}"

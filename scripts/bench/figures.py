"""What a comparison comes to (core)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whisper_live_client.audio import SAMPLE_RATE

from scripts.capacity.stages import STAGES
from scripts.tools.scoring import Normalise, Score, difference_interval, error_interval, error_rate, percentile, score
from scripts.tools.tables import Table, number, pair

from .latencies import Latencies
from .samples import Result, Sample

Figures = dict[str, Any]
"""One contestant's figures by their names in the JSON file; None is unknown."""

_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("words heard", lambda f: number(f["heard"], "d")),
    ("WER, %", lambda f: number(f["wer_percent"], ".2f")),
    ("  95 % interval", lambda f: str(f["wer"] or "-")),
    ("WER above offline, points", lambda f: number(f["above_offline"] and f["above_offline"].value, "+.2f")),
    ("  95 % interval", lambda f: str(f["above_offline"] or "-")),
    ("shown, p50 / p95, s", lambda f: pair(f["shown_p50_s"], f["shown_p95_s"])),
    ("committed, p50 / p95, s", lambda f: pair(f["committed_p50_s"], f["committed_p95_s"])),
    ("words changed after shown, %", lambda f: number(f["changed_percent"], ".1f")),
    ("decodes", lambda f: number(f["decodes"], "d")),
    ("window, mean / longest, s", lambda f: pair(f["window_s"], f["longest_s"])),
    ("audio held at most, s", lambda f: number(f["held_s"], ".2f")),
    ("draft tokens accepted, %", lambda f: number(f["accepted_percent"], ".0f")),
    ("CPU-s a second of audio", lambda f: number(f["cpu_per_audio_s"], ".4f")),
    (
        "sessions in the right language",
        lambda f: "{} of {}".format(*f["languages_right"]) if f["languages_right"] else "-",
    ),
    ("times cheaper than plain", lambda f: number(f["ratio"], ".2f")),
    *(
        (f"  {stage}, % of it", lambda f, stage=stage: number((f["stages_percent"] or {}).get(stage), ".1f"))
        for stage in STAGES
    ),
)


def table(title: str, figures: Sequence[Figures]) -> Table:
    rows = [(label, [read(each) for each in figures]) for label, read in _ROWS]
    return Table(title, [each["name"] for each in figures], rows)


@dataclass(frozen=True, slots=True)
class Part:
    """What a contestant made of some samples, its scores and latencies, and the reference's scores."""

    result: Result
    samples: Sequence[Sample]
    scores: Sequence[Score]
    latencies: Latencies
    reference: Sequence[Score] | None = None


def score_result(
    result: Result, samples: Sequence[Sample], normalise: Normalise, reference: Sequence[Score] | None = None
) -> Part:
    scores: list[Score] = []
    latencies = Latencies()
    for sample, transcription in zip(samples, result.transcriptions, strict=True):
        scores += score(sample.texts, transcription.text, normalise)
        latencies.add(sample, transcription)
    return Part(result, samples, scores, latencies, reference)


def figures_of(part: Part, baseline: Result | None) -> Figures:
    """Return a contestant's figures, with its cost beside the baseline's and the shares of its stages in it."""
    result, cpu_s = part.result, part.result.cpu_s
    found = total(result.name, [part])
    if cpu_s and baseline:
        found["ratio"] = baseline.cpu_s / cpu_s
    if cpu_s and result.stages:
        shares = {stage: 100.0 * spent_s / cpu_s for stage, spent_s in result.stages.items()}
        found["stages_percent"] = shares | {"the rest": 100.0 - sum(shares.values())}
    return found


def total(name: str, parts: Sequence[Part]) -> Figures:
    """Return the figures of all parts together.

    Latencies are in audio time, from a word's end until it stood on the screen, or could not change any more: a
    step's compute comes on top. Errors are words wrong, missed or made up, with an interval over utterances.
    """
    scores = [one for part in parts for one in part.scores]
    reference = [one for part in parts for one in part.reference or ()]
    transcriptions = [each for part in parts for each in part.result.transcriptions]
    windows = [window for each in transcriptions for window in each.windows]
    lengths_s = [window.samples / SAMPLE_RATE for window in windows]
    shown = [value for part in parts for value in part.latencies.shown]
    committed = [value for part in parts for value in part.latencies.committed]
    changed = sum(part.latencies.changed for part in parts)
    heard = sum(part.latencies.heard for part in parts)
    audio_s = sum(each.audio_s for each in transcriptions)
    drafted = sum(window.drafted for window in windows)
    return {
        "name": name,
        "audio_s": audio_s,
        "words": sum(one.words for one in scores),
        "heard": heard,
        "wer_percent": error_rate(scores),
        "wer": error_interval(scores),
        "above_offline": difference_interval(scores, reference) if reference else None,
        "shown_p50_s": percentile(shown, 50),
        "shown_p95_s": percentile(shown, 95),
        "committed_p50_s": percentile(committed, 50),
        "committed_p95_s": percentile(committed, 95),
        # Offline nothing is decoded or shown before its end.
        "changed_percent": 100.0 * changed / heard if heard and windows else None,
        "decodes": len(windows) or None,
        "window_s": sum(lengths_s) / len(windows) if windows else None,
        "longest_s": max(lengths_s, default=None),
        "held_s": max(each.held for each in transcriptions) / SAMPLE_RATE or None,
        "accepted_percent": 100.0 * sum(window.accepted for window in windows) / drafted if drafted else None,
        "cpu_per_audio_s": sum(part.result.cpu_s for part in parts) / audio_s,
        "ratio": None,
        "stages_percent": None,
        "languages_right": None,  # sessions taken for the language that is spoken, and how many there were
    }

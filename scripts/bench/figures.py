"""What a comparison comes to (core)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from whisper_live_client.audio import SAMPLE_RATE

from scripts.capacity.stages import STAGES
from scripts.tools.reports import Table
from scripts.tools.scoring import (
    Interval,
    Normalise,
    Score,
    difference_interval,
    error_interval,
    error_rate,
    percentile,
    score,
)
from scripts.tools.tables import interval, number, pair, value_of

from .latencies import Latencies
from .samples import Result, Sample


@dataclass(frozen=True, slots=True)
class Figures:
    """One contestant's figures; None is unknown.

    Attributes:
        wer_percent: words wrong, missed or made up, against words said; ``wer`` with its interval over utterances.
        above_offline: by how many points that is above the offline reference.
        shown_p50_s: from a word's end until it stood on the screen, in audio time: a step's compute comes on top.
        committed_p50_s: from a word's end until it could not change any more.
        changed_percent: words changed after being shown, the newest one aside, against words heard.
        window_s: the mean length of a decode's window; ``longest_s`` is the longest.
        held_s: most audio held at any time.
        cpu_per_audio_s: CPU seconds a second of audio.
        ratio: how many times cheaper than the plain baseline.
        accepted_percent: draft tokens that stood.
        stages_percent: shares of the CPU time.
        languages_right: how many sessions were taken for the language that is spoken, and how many there were.
    """

    name: str
    audio_s: float
    words: int
    heard: int
    wer_percent: float | None
    wer: Interval | None
    above_offline: Interval | None
    shown_p50_s: float | None
    shown_p95_s: float | None
    committed_p50_s: float | None
    committed_p95_s: float | None
    changed_percent: float | None
    decodes: int | None
    window_s: float | None
    longest_s: float | None
    held_s: float | None
    accepted_percent: float | None
    cpu_per_audio_s: float
    ratio: float | None = None
    stages_percent: dict[str, float] | None = None
    languages_right: tuple[int, int] | None = None


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("words heard", lambda f: number(f.heard, "d")),
    ("WER, %", lambda f: number(f.wer_percent, ".2f")),
    ("  95 % interval", lambda f: interval(f.wer)),
    ("WER above offline, points", lambda f: number(value_of(f.above_offline), "+.2f")),
    ("  95 % interval", lambda f: interval(f.above_offline)),
    ("shown, p50 / p95, s", lambda f: pair(f.shown_p50_s, f.shown_p95_s)),
    ("committed, p50 / p95, s", lambda f: pair(f.committed_p50_s, f.committed_p95_s)),
    ("words changed after shown, %", lambda f: number(f.changed_percent, ".1f")),
    ("decodes", lambda f: number(f.decodes, "d")),
    ("window, mean / longest, s", lambda f: pair(f.window_s, f.longest_s)),
    ("audio held at most, s", lambda f: number(f.held_s, ".2f")),
    ("draft tokens accepted, %", lambda f: number(f.accepted_percent, ".0f")),
    ("CPU-s a second of audio", lambda f: number(f.cpu_per_audio_s, ".4f")),
    (
        "sessions in the right language",
        lambda f: "-" if f.languages_right is None else "{} of {}".format(*f.languages_right),
    ),
    ("times cheaper than plain", lambda f: number(f.ratio, ".2f")),
    *(
        (f"  {stage}, % of it", lambda f, stage=stage: number((f.stages_percent or {}).get(stage), ".1f"))
        for stage in STAGES
    ),
)


def table(title: str, figures: Sequence[Figures]) -> Table:
    """Return contestants side by side."""
    rows = [(label, [read(each) for each in figures]) for label, read in _ROWS]
    return Table(title, [each.name for each in figures], rows)


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
    """Score a contestant's transcripts of samples, utterance by utterance."""
    scores: list[Score] = []
    latencies = Latencies()
    for sample, transcription in zip(samples, result.transcriptions, strict=True):
        scores += score(sample.texts, transcription.text, normalise)
        latencies.add(sample, transcription)
    return Part(result, samples, scores, latencies, reference)


def figures_of(part: Part, baseline: Result | None) -> Figures:
    """Return the figures of a contestant, beside the baseline's cost."""
    result, cpu_s = part.result, part.result.cpu_s
    found = total(result.name, [part])
    if not cpu_s:
        return found
    shares = {stage: 100.0 * spent_s / cpu_s for stage, spent_s in result.stages.items()}
    stages = shares | {"the rest": 100.0 - sum(shares.values())} if shares else None
    return replace(found, ratio=baseline.cpu_s / cpu_s if baseline else None, stages_percent=stages)


def total(name: str, parts: Sequence[Part]) -> Figures:
    """Return the figures of all parts together."""
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
    return Figures(
        name=name,
        audio_s=audio_s,
        words=sum(one.words for one in scores),
        heard=heard,
        wer_percent=error_rate(scores),
        wer=error_interval(scores),
        above_offline=difference_interval(scores, reference) if reference else None,
        shown_p50_s=percentile(shown, 50),
        shown_p95_s=percentile(shown, 95),
        committed_p50_s=percentile(committed, 50),
        committed_p95_s=percentile(committed, 95),
        # Offline nothing is decoded or shown before its end.
        changed_percent=100.0 * changed / heard if heard and windows else None,
        decodes=len(windows) or None,
        window_s=sum(lengths_s) / len(windows) if windows else None,
        longest_s=max(lengths_s, default=None),
        held_s=max(each.held for each in transcriptions) / SAMPLE_RATE or None,
        accepted_percent=100.0 * sum(window.accepted for window in windows) / drafted if drafted else None,
        cpu_per_audio_s=sum(part.result.cpu_s for part in parts) / audio_s,
    )

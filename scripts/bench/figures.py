"""What a comparison comes to (core)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scripts.load.scoring import Interval, Normalise, Score, difference_interval, error_interval, error_rate, score
from scripts.load.timing import percentile
from scripts.replaying.measures import Measures, measure

from .contestant import Course, Result


@dataclass(frozen=True, slots=True)
class Figures:
    """One contestant's figures; None is unknown.

    Attributes:
        wer_percent: words wrong, missed or made up, against words said; ``wer`` with its interval over utterances.
        above_offline: by how many points that is above the offline reference.
        shown_p50_s: from a word's end until it stood on the screen, in audio time: a step's compute comes on top.
        committed_p50_s: from a word's end until it could not change any more.
        changed_percent: words changed after being shown, the newest one aside, against words heard.
        cpu_per_audio_s: CPU seconds a second of audio.
        ratio: how many times cheaper than the plain baseline.
        accepted_percent: draft tokens that stood.
        stages_percent: shares of the CPU time.
        languages_right: how many sessions were taken for the language that is spoken, and how many there were.
    """

    name: str
    audio_s: float
    words: int
    wer_percent: float | None
    wer: Interval | None = None
    above_offline: Interval | None = None
    shown_p50_s: float | None = None
    shown_p95_s: float | None = None
    committed_p50_s: float | None = None
    committed_p95_s: float | None = None
    changed_percent: float | None = None
    decodes: int | None = None
    cpu_per_audio_s: float | None = None
    ratio: float | None = None
    accepted_percent: float | None = None
    stages_percent: dict[str, float] | None = None
    languages_right: tuple[int, int] | None = None


def scores(courses: Sequence[Course], texts: Sequence[str], normalise: Normalise) -> list[Score]:
    """Score a transcript of each course, utterance by utterance."""
    return [one for course, text in zip(courses, texts, strict=True) for one in score(course.texts, text, normalise)]


def offline(courses: Sequence[Course], found: Sequence[Score], cpu_s: float) -> Figures:
    """Return the figures of the offline reference."""
    audio_s = sum(len(course.levelled) for course in courses) / 16_000
    words = sum(one.words for one in found)
    return Figures(
        "offline", audio_s, words, error_rate(found), wer=error_interval(found), cpu_per_audio_s=cpu_s / audio_s
    )


@dataclass(frozen=True, slots=True)
class Part:
    """What a contestant made of some courses: replays, their scores and measures, and the reference's scores."""

    result: Result
    scores: Sequence[Score]
    reference: Sequence[Score] | None
    measures: Measures


def part(
    result: Result,
    courses: Sequence[Course],
    normalise: Normalise,
    *,
    reference: Sequence[Score] | None,
    english: bool,
) -> Part:
    """Score a contestant's transcripts of courses."""
    measures = Measures()
    for course, replay in zip(courses, result.replays, strict=True):
        measures.add(measure(course.recording, replay, english=english))
    return Part(result, scores(courses, [replay.text for replay in result.replays], normalise), reference, measures)


def judge(
    result: Result,
    courses: Sequence[Course],
    normalise: Normalise,
    *,
    reference: Sequence[Score] | None,
    baseline: Result | None,
    english: bool,
) -> Figures:
    """Return the figures of a contestant."""
    alone = part(result, courses, normalise, reference=reference, english=english)
    ratio = baseline.cpu_s / result.cpu_s if baseline and result.cpu_s else None
    return replace(total(result.name, [alone]), ratio=ratio, stages_percent=_shares(result))


def total(name: str, parts: Sequence[Part]) -> Figures:
    """Return the figures of all parts together."""
    found = [one for each in parts for one in each.scores]
    reference = [one for each in parts for one in each.reference or ()]
    replays = [replay for each in parts for replay in each.result.replays]
    measures = Measures()
    for each in parts:
        measures.add(each.measures)
    audio_s = sum(replay.audio_s for replay in replays)
    drafted, decodes = sum(replay.drafted for replay in replays), sum(replay.decodes for replay in replays)
    shown = measures.seen and decodes  # offline nothing is shown before its end
    return Figures(
        name=name,
        audio_s=audio_s,
        words=sum(one.words for one in found),
        wer_percent=error_rate(found),
        wer=error_interval(found),
        above_offline=difference_interval(found, reference) if reference else None,
        shown_p50_s=percentile(measures.shown, 50),
        shown_p95_s=percentile(measures.shown, 95),
        committed_p50_s=percentile(measures.committed, 50),
        committed_p95_s=percentile(measures.committed, 95),
        changed_percent=100.0 * measures.changed / measures.seen if shown else None,
        decodes=decodes or None,
        cpu_per_audio_s=sum(each.result.cpu_s for each in parts) / audio_s,
        accepted_percent=100.0 * sum(replay.accepted for replay in replays) / drafted if drafted else None,
    )


def _shares(result: Result) -> dict[str, float] | None:
    if not result.stages or not result.cpu_s:
        return None
    known = {stage: 100.0 * spent_s / result.cpu_s for stage, spent_s in result.stages.items()}
    return known | {"the rest": 100.0 - sum(known.values())}

"""Add up all sessions of one load into the figures of the table (core)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .observations import Observations, ServerFigures, judge
from .scoring import Interval, Score, difference_interval, error_interval, error_rate
from .session import SessionReport, known
from .timing import percentile


@dataclass(frozen=True, slots=True)
class WordFigures:
    """What was heard, of all sessions together; None is unknown.

    Attributes:
        wer_percent: words wrong, missed or made up, against words said.
        timed_percent: the share of the said words that were heard right and have a time: delays are taken of these.
        changed_percent: words changed after being shown (the newest one aside), against words heard.
        reference_wer_percent: the same audio transcribed offline by the same weights.
        wer_above_reference_points: by how much more words are wrong than there.
    """

    said_words: int
    heard_words: int
    wer_percent: float | None
    timed_percent: float | None
    changed_percent: float | None
    reference_wer_percent: float | None
    wer_above_reference_points: float | None


@dataclass(frozen=True, slots=True)
class DelayFigures:
    """What users wait for, over all words and sessions; None is unknown.

    Attributes:
        shown_p50_s: from a word's end until it stood on the screen to stay.
        committed_p50_s: from a word's end until it could not change any more.
        last_words_p50_s: from the end of the audio until the last word was committed.
        flush_p50_s: from the end of the audio until the server said that all is said.
        setup_p50_ms: from opening the connection to "Ready to transcribe".
        held_back_max_s: how much later than spoken audio was sent, because the server did not read.
    """

    shown_p50_s: float | None
    shown_p95_s: float | None
    committed_p50_s: float | None
    committed_p95_s: float | None
    last_words_p50_s: float | None
    last_words_max_s: float | None
    flush_p50_s: float | None
    flush_max_s: float | None
    setup_p50_ms: float | None
    setup_max_ms: float | None
    held_back_max_s: float | None


@dataclass(frozen=True, slots=True)
class EndFigures:
    """How the sessions ended; ``wrong_books`` counts those whose samples do not add up."""

    complete: int
    not_complete: int
    wrong_books: int
    dropped_s: float
    violations: int
    moves: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The offline reference's word error rate, and how far ours lies above it, in points."""

    reference: Interval | None
    above: Interval | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One load, summed up."""

    streams: int
    audio_s: float
    words: WordFigures
    delays: DelayFigures
    server: ServerFigures
    ends: EndFigures
    wer: Interval | None
    comparison: Comparison | None
    outcomes: dict[str, int]

    def figures(self) -> dict[str, float | None]:
        """Return every figure by its name."""
        groups = (self.words, self.delays, self.server, self.ends)
        return {"audio_s": self.audio_s} | {name: value for group in groups for name, value in asdict(group).items()}


def summarise(
    streams: int,
    reports: Sequence[SessionReport],
    seen: Observations,
    all_speaking_s: tuple[float, float] | None,
    reference: Sequence[Score] | None = None,
) -> Summary:
    """Add up a load.

    Args:
        streams: how many sessions were meant to be had.
        reports: the sessions that were had.
        seen: what was seen beside them.
        all_speaking_s: from when until when all sessions spoke.
        reference: the offline reference's scores, of the same utterances as the sessions' in order.
    """
    audio_s = sum(each.audio_s for each in reports)
    scores = [one for each in reports for one in each.scores]
    comparison = None
    if reference is not None:
        comparison = Comparison(error_interval(reference), difference_interval(scores, reference))
    outcomes = Counter(each.outcome for each in reports)
    return Summary(
        streams=streams,
        audio_s=audio_s,
        words=_words(reports, scores, reference),
        delays=_delays(reports),
        server=judge(seen, audio_s, all_speaking_s),
        ends=EndFigures(
            complete=outcomes["complete"],
            not_complete=streams - outcomes["complete"],
            wrong_books=sum(each.books is False for each in reports),
            dropped_s=sum(each.dropped_s for each in reports),
            violations=sum(len(each.violations) for each in reports),
            moves=sum(each.moves for each in reports),
        ),
        wer=error_interval(scores),
        comparison=comparison,
        outcomes=dict(outcomes),
    )


def _words(reports: Sequence[SessionReport], scores: Sequence[Score], reference: Sequence[Score] | None) -> WordFigures:
    said = sum(each.spoken_words for each in reports)
    heard = sum(each.heard_words for each in reports)
    ours, theirs = error_rate(scores), error_rate(reference) if reference is not None else None
    return WordFigures(
        said_words=sum(one.words for one in scores),
        heard_words=heard,
        wer_percent=ours,
        timed_percent=_share(sum(len(each.word_times) for each in reports), said),
        changed_percent=_share(sum(each.changed_words for each in reports), heard),
        reference_wer_percent=theirs,
        wer_above_reference_points=None if ours is None or theirs is None else ours - theirs,
    )


def _delays(reports: Sequence[SessionReport]) -> DelayFigures:
    times = [time for each in reports for time in each.word_times]
    shown = [time.shown_s for time in times]
    committed = known([time.committed_s for time in times])
    last_words = known([each.last_words_s for each in reports])
    flush = known([each.flush_s for each in reports])
    setup = known([each.setup_ms for each in reports])
    return DelayFigures(
        shown_p50_s=percentile(shown, 50),
        shown_p95_s=percentile(shown, 95),
        committed_p50_s=percentile(committed, 50),
        committed_p95_s=percentile(committed, 95),
        last_words_p50_s=percentile(last_words, 50),
        last_words_max_s=max(last_words, default=None),
        flush_p50_s=percentile(flush, 50),
        flush_max_s=max(flush, default=None),
        setup_p50_ms=percentile(setup, 50),
        setup_max_ms=max(setup, default=None),
        held_back_max_s=max(known([each.held_back_s for each in reports]), default=None),
    )


def _share(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None

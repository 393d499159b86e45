"""Add up all sessions of one load into its figures (core)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.tools.scoring import Interval, Score, difference_interval, error_interval, error_rate, percentile

from .processes import CpuTime
from .sampling import Observations
from .session import SessionReport

Figures = dict[str, float | None]
"""Figures by their names, which the table, the JSON file and --require share; None is unknown."""

_END_WINDOW_S = 5.0  # a step lasts up to some seconds: the lag at the end is the worst of several samples
_FEWEST_POINTS = 10  # a line through fewer would say nothing


@dataclass(frozen=True, slots=True)
class Summary:
    """One load: its figures, and the intervals of the error rates (of the offline reference and its distance too)."""

    streams: int
    figures: Figures
    wer: Interval | None
    reference: Interval | None
    above: Interval | None
    outcomes: dict[str, int]


def summarise(
    streams: int,
    reports: Sequence[SessionReport],
    seen: Observations,
    all_speaking_s: tuple[float, float] | None,
    reference: Sequence[Score] | None = None,
) -> Summary:
    """Add up the sessions that were had of so many streams, and what was seen beside them.

    ``all_speaking_s`` is from when until when all spoke (the client's clock); the reference's scores are of the same
    utterances as the sessions', in order.
    """
    audio_s = sum(each.audio_s for each in reports)
    scores = [one for each in reports for one in each.scores]
    outcomes = Counter(each.outcome for each in reports)
    ends: Figures = {
        "complete": outcomes["complete"],
        "not_complete": streams - outcomes["complete"],
        "wrong_books": sum(each.books is False for each in reports),
        "dropped_s": sum(each.dropped_s for each in reports),
        "violations": sum(len(each.violations) for each in reports),
        "moves": sum(each.moves for each in reports),
    }
    figures: Figures = {"audio_s": audio_s}
    figures |= _word_figures(reports, scores, reference) | _delay_figures(reports)
    figures |= server_figures(seen, audio_s, all_speaking_s) | ends
    return Summary(
        streams=streams,
        figures=figures,
        wer=error_interval(scores),
        reference=None if reference is None else error_interval(reference),
        above=None if reference is None else difference_interval(scores, reference),
        outcomes=dict(outcomes),
    )


def _word_figures(
    reports: Sequence[SessionReport], scores: Sequence[Score], reference: Sequence[Score] | None
) -> Figures:
    said = sum(each.spoken_words for each in reports)
    heard = sum(each.heard_words for each in reports)
    ours, theirs = error_rate(scores), error_rate(reference or [])
    return {
        "said_words": sum(one.words for one in scores),
        "heard_words": heard,
        "wer_percent": ours,
        # Delays are taken of the words that were heard right and have a time.
        "timed_percent": _ratio(100.0 * sum(len(each.word_times) for each in reports), said),
        "changed_percent": _ratio(100.0 * sum(each.changed_words for each in reports), heard),
        "reference_wer_percent": theirs,
        "wer_above_reference_points": None if ours is None or theirs is None else ours - theirs,
    }


def _delay_figures(reports: Sequence[SessionReport]) -> Figures:
    times = [time for each in reports for time in each.word_times]
    shown = [time.shown_s for time in times]
    committed = _known([time.committed_s for time in times])
    last_words = _known([each.last_words_s for each in reports])
    flush = _known([each.flush_s for each in reports])
    setup = _known([each.setup_ms for each in reports])
    return {
        "shown_p50_s": percentile(shown, 50),
        "shown_p95_s": percentile(shown, 95),
        "committed_p50_s": percentile(committed, 50),
        "committed_p95_s": percentile(committed, 95),
        "last_words_p50_s": percentile(last_words, 50),
        "last_words_max_s": max(last_words, default=None),
        "flush_p50_s": percentile(flush, 50),
        "flush_max_s": max(flush, default=None),
        "setup_p50_ms": percentile(setup, 50),
        "setup_max_ms": max(setup, default=None),
        "held_back_max_s": max(_known([each.held_back_s for each in reports]), default=None),
    }


def server_figures(seen: Observations, audio_s: float, all_speaking_s: tuple[float, float] | None) -> Figures:
    """Turn what was seen beside the sessions into figures; arguments as for `summarise`.

    The lag at the end is that of the last seconds in which all sessions spoke, its growth the slope in the second half
    of that time.
    """
    gateway_s, workers_s = seen.server.gateway_s, seen.server.workers_s
    lags = [(sample.at_s, sample.lag_s) for sample in seen.samples if sample.lag_s is not None]
    start_s, end_s = all_speaking_s or (0.0, 0.0)
    half_s = (start_s + end_s) / 2
    return {
        "lag_max_s": max((lag_s for _, lag_s in lags), default=None),
        "lag_end_s": max((lag_s for at_s, lag_s in lags if end_s - _END_WINDOW_S <= at_s <= end_s), default=None),
        "lag_growth_s_per_min": _slope_per_min([(at_s, lag_s) for at_s, lag_s in lags if half_s <= at_s <= end_s]),
        "cpu_per_audio_s": _ratio(None if gateway_s is None or workers_s is None else gateway_s + workers_s, audio_s),
        "gateway_cpu_per_audio_s": _ratio(gateway_s, audio_s),
        "workers_cpu_per_audio_s": _ratio(workers_s, audio_s),
        "client_cpu_per_audio_s": _ratio(seen.client_s, audio_s),
        "load_average": seen.samples[-1].load_average if seen.samples else None,
    }


def _slope_per_min(points: Sequence[tuple[float, float]]) -> float | None:
    if len(points) < _FEWEST_POINTS:
        return None
    at_s, lag_s = np.array(points).T
    return float(np.polyfit((at_s - at_s[0]) / 60.0, lag_s, 1)[0])


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else part / whole


FIGURES = tuple(summarise(0, [], Observations((), CpuTime(None, None), 0.0), None).figures)
"""The names of all figures, in their order."""

"""Everything that was measured as JSON (core)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from .observations import Observations
from .session import SessionReport
from .summary import Summary

JsonValue = object


def render(about: Mapping[str, JsonValue], runs: Sequence[Mapping[str, JsonValue]]) -> str:
    """Return the JSON text of a measurement: what it was made on, and its loads."""
    return json.dumps(_rounded({**about, "runs": list(runs)}), ensure_ascii=False) + "\n"


def describe(summary: Summary, seen: Observations, reports: Sequence[SessionReport]) -> dict[str, JsonValue]:
    """Return a load with its sessions; its moments are seconds since the load's first sample."""
    comparison = asdict(summary.comparison) if summary.comparison else None
    began_s = seen.samples[0].at_s if seen.samples else 0.0
    return {
        "streams": summary.streams,
        "figures": summary.figures(),
        "wer_interval": asdict(summary.wer) if summary.wer else None,
        "reference_intervals": comparison,
        "outcomes": summary.outcomes,
        "samples": [asdict(sample) | {"at_s": sample.at_s - began_s} for sample in seen.samples],
        "sessions": [_session(each, began_s) for each in reports],
    }


def _session(report: SessionReport, began_s: float) -> dict[str, JsonValue]:
    whole: dict[str, JsonValue] = asdict(report)
    whole["speaking_s"] = report.speaking_s and [moment_s - began_s for moment_s in report.speaking_s]
    whole["scores"] = [[score.words, score.errors] for score in report.scores]
    whole["word_times"] = [[time.text, time.end_s, time.shown_s, time.committed_s] for time in report.word_times]
    return whole


def _rounded(value: JsonValue) -> JsonValue:
    """Round every number to what it can mean: tenths of a millisecond."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value

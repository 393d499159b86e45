"""What is asked for and everything measured so far, kept in its JSON file (shell)."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from scripts.tools.corpus import Corpus, Stream
from scripts.tools.driver import SessionSettings
from scripts.tools.scoring import Score

from .bounds import Bound
from .sampling import Observations
from .session import SessionReport, all_speaking_s
from .summary import Summary, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for; ``patience_s`` is how much longer than its audio a session may take."""

    session: SessionSettings
    counts: tuple[int, ...]
    seconds: float | None
    ramp_s: float
    manifest: Path | None
    set_name: str | None
    monitor_token: str | None = field(repr=False)
    patience_s: float
    reference: str | None
    pids: tuple[int, ...]
    run_dir: Path
    json_path: Path | None
    plot_path: Path | None
    bounds: tuple[Bound, ...]


@dataclass(slots=True)
class Load:
    streams: list[Stream]
    reports: list[SessionReport]
    seen: Observations
    reference: list[Score] | None = None

    def summary(self) -> Summary:
        return summarise(len(self.streams), self.reports, self.seen, all_speaking_s(self.reports), self.reference)


@dataclass(slots=True)
class Measurement:
    options: Options
    corpus: Corpus
    server: Mapping[str, object]
    began: datetime
    loads: list[Load] = field(default_factory=list)
    interrupted: bool = False

    def write(self) -> None:
        options = self.options
        if options.json_path is None:
            return
        about = {
            "began": self.began.isoformat(timespec="seconds"),
            "url": options.session.url,
            "mode": options.session.mode,
            "material": self.corpus.name,
            "seconds": options.seconds,
            "ramp_s": options.ramp_s,
            "message_ms": options.session.message_ms,
            "reference": options.reference,
            "bounds": [str(bound) for bound in options.bounds],
            "interrupted": self.interrupted,
            "server": self.server,
            "client": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        }
        runs = [describe(load.summary(), load.seen, load.reports) for load in self.loads]
        options.json_path.write_text(render(about, runs), encoding="utf-8")


def render(about: Mapping[str, object], runs: Sequence[Mapping[str, object]]) -> str:
    return json.dumps(_rounded({**about, "runs": list(runs)}), ensure_ascii=False) + "\n"


def describe(summary: Summary, seen: Observations, reports: Sequence[SessionReport]) -> dict[str, object]:
    """Return a load with its sessions; its moments are seconds since the load's first sample."""
    began_s = seen.samples[0].at_s if seen.samples else 0.0
    compared = {"reference": summary.reference, "above": summary.above}
    return {
        "streams": summary.streams,
        "figures": summary.figures,
        "wer_interval": asdict(summary.wer) if summary.wer else None,
        "reference_intervals": {name: asdict(each) for name, each in compared.items() if each} or None,
        "outcomes": summary.outcomes,
        "samples": [asdict(sample) | {"at_s": sample.at_s - began_s} for sample in seen.samples],
        "sessions": [_session(each, began_s) for each in reports],
    }


def _session(report: SessionReport, began_s: float) -> dict[str, object]:
    return asdict(report) | {
        "speaking_s": report.speaking_s and [moment_s - began_s for moment_s in report.speaking_s],
        "scores": [[score.words, score.errors] for score in report.scores],
        "word_times": [[time.text, time.end_s, time.shown_s, time.committed_s] for time in report.word_times],
    }


def _rounded(value: object) -> object:
    """Round every number to what it can mean: tenths of a millisecond."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value

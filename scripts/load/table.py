"""Print what was measured (door: rich)."""

from collections.abc import Sequence

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.text import Text

from scripts.tools.tables import Table, make_console, number

from .bounds import Bound
from .session import SessionReport
from .summary import Summary

# Each line of the table: its label, the figures in it, and their format.
_ROWS = (
    ("sessions complete / not", ("complete", "not_complete"), ".0f"),
    ("words said / heard", ("said_words", "heard_words"), ".0f"),
    ("WER, %", ("wer_percent",), ".2f"),
    ("offline WER, %", ("reference_wer_percent",), ".2f"),
    ("WER above offline, points", ("wer_above_reference_points",), "+.2f"),
    ("shown after said, p50 / p95, s", ("shown_p50_s", "shown_p95_s"), ".2f"),
    ("committed after said, p50 / p95, s", ("committed_p50_s", "committed_p95_s"), ".2f"),
    ("words that were timed, %", ("timed_percent",), ".1f"),
    ("last words after the end, p50 / max, s", ("last_words_p50_s", "last_words_max_s"), ".2f"),
    ("all said after the end, p50 / max, s", ("flush_p50_s", "flush_max_s"), ".2f"),
    ("words changed after shown, %", ("changed_percent",), ".1f"),
    ("lag at the end / largest, s", ("lag_end_s", "lag_max_s"), ".2f"),
    ("lag growth, s a minute", ("lag_growth_s_per_min",), "+.2f"),
    ("setup, p50 / max, ms", ("setup_p50_ms", "setup_max_ms"), ".0f"),
    ("audio held back, max, s", ("held_back_max_s",), ".2f"),
    ("server CPU-s a second of audio", ("cpu_per_audio_s",), ".4f"),
    ("  of it gateway / workers", ("gateway_cpu_per_audio_s", "workers_cpu_per_audio_s"), ".4f"),
    ("client CPU-s a second of audio", ("client_cpu_per_audio_s",), ".4f"),
    ("load average", ("load_average",), ".2f"),
    ("audio dropped, s / wrong books", ("dropped_s", "wrong_books"), "g"),
    ("broken promises / moves", ("violations", "moves"), ".0f"),
)

Unmet = Sequence[tuple[Summary, Bound]]
"""The bounds that were not met, each with the load that is meant."""


def print_table(summaries: Sequence[Summary], unmet: Unmet) -> None:
    """Print the figures, one column a load; what did not reach its bound is red."""
    intervals = {
        "wer_percent": [summary.wer for summary in summaries],
        "wer_above_reference_points": [summary.above for summary in summaries],
    }
    rows: list[tuple[str, list[str | Text]]] = []
    for label, names, form in _ROWS:
        cells: list[str | Text] = []
        for summary in summaries:
            missed = any(at is summary and bound.name in names for at, bound in unmet)
            cell = " / ".join(number(summary.figures[name], form) for name in names)
            cells.append(Text(cell, "bold red" if missed else ""))
        rows.append((label, cells))
        if names[0] in intervals:
            rows.append(("  95 % interval", [str(each or "-") for each in intervals[names[0]]]))
    columns = [str(summary.streams) for summary in summaries]
    Table(None, columns, rows, corner="streams", box=HEAVY_HEAD).print(make_console())


def print_troubles(console: Console, failed: Sequence[tuple[int, SessionReport]], unmet: Unmet) -> None:
    """Print what went wrong, session by session with the streams of its load, then the bounds that were not met."""
    for streams, report in failed:
        what = [report.problem] if report.problem else []
        what += ["its books do not add up"] if report.books is False else []
        what += report.violations
        console.print(f"{streams} streams, session {report.number}: {report.outcome}: {'; '.join(what)}", markup=False)
    for summary, bound in unmet:
        reached = number(summary.figures[bound.name], ".3f")
        console.print(f"{summary.streams} streams: not met: {bound} (it is {reached})", markup=False, style="red")

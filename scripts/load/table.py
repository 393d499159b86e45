"""Print what was measured as a table (door: rich)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .bounds import Bound
from .scoring import Interval
from .session import SessionReport
from .summary import Summary

_UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table: its label, and the figures in it with their format."""

    label: str
    names: tuple[str, ...]
    form: str


_ROWS = (
    _Row("sessions complete / not", ("complete", "not_complete"), "{:.0f}"),
    _Row("words said / heard", ("said_words", "heard_words"), "{:.0f}"),
    _Row("WER, %", ("wer_percent",), "{:.2f}"),
    _Row("offline WER, %", ("reference_wer_percent",), "{:.2f}"),
    _Row("WER above offline, points", ("wer_above_reference_points",), "{:+.2f}"),
    _Row("shown after said, p50 / p95, s", ("shown_p50_s", "shown_p95_s"), "{:.2f}"),
    _Row("committed after said, p50 / p95, s", ("committed_p50_s", "committed_p95_s"), "{:.2f}"),
    _Row("words that were timed, %", ("timed_percent",), "{:.1f}"),
    _Row("last words after the end, p50 / max, s", ("last_words_p50_s", "last_words_max_s"), "{:.2f}"),
    _Row("all said after the end, p50 / max, s", ("flush_p50_s", "flush_max_s"), "{:.2f}"),
    _Row("words changed after shown, %", ("changed_percent",), "{:.1f}"),
    _Row("lag at the end / largest, s", ("lag_end_s", "lag_max_s"), "{:.2f}"),
    _Row("lag growth, s a minute", ("lag_growth_s_per_min",), "{:+.2f}"),
    _Row("setup, p50 / max, ms", ("setup_p50_ms", "setup_max_ms"), "{:.0f}"),
    _Row("audio held back, max, s", ("held_back_max_s",), "{:.2f}"),
    _Row("server CPU-s a second of audio", ("cpu_per_audio_s",), "{:.4f}"),
    _Row("  of it gateway / workers", ("gateway_cpu_per_audio_s", "workers_cpu_per_audio_s"), "{:.4f}"),
    _Row("client CPU-s a second of audio", ("client_cpu_per_audio_s",), "{:.4f}"),
    _Row("load average", ("load_average",), "{:.2f}"),
    _Row("audio dropped, s / wrong books", ("dropped_s", "wrong_books"), "{:g}"),
    _Row("broken promises / moves", ("violations", "moves"), "{:.0f}"),
)


def print_table(console: Console, summaries: Sequence[Summary], unmet: Sequence[tuple[int, Bound]]) -> None:
    """Print the figures, one column a load; what did not reach its bound is red.

    Args:
        console: where to.
        summaries: the loads.
        unmet: the bounds that were not met, with the index of the load.
    """
    missed = {(column, bound.name) for column, bound in unmet}
    table = Table(highlight=False)
    table.add_column("streams")
    for summary in summaries:
        table.add_column(str(summary.streams), justify="right")
    for row in _ROWS:
        cells = []
        for column, summary in enumerate(summaries):
            figures = summary.figures()
            cell = " / ".join(_figure(figures[name], row.form) for name in row.names)
            cells.append(Text(cell, "bold red" if any((column, name) in missed for name in row.names) else ""))
        if any(cell.plain.strip(f"{_UNKNOWN} /") for cell in cells):
            table.add_row(row.label, *cells)
        if row.names == ("wer_percent",):
            table.add_row("  95 % interval", *(_interval(summary.wer) for summary in summaries))
        if row.names == ("wer_above_reference_points",) and any(summary.comparison for summary in summaries):
            above = [summary.comparison.above if summary.comparison else None for summary in summaries]
            table.add_row("  95 % interval", *map(_interval, above))
    console.print(table)


def print_troubles(
    console: Console,
    reports: Sequence[tuple[int, SessionReport]],
    unmet: Sequence[tuple[int, Bound]],
    summaries: Sequence[Summary],
) -> None:
    """Print what went wrong, session by session, then the bounds that were not met.

    Args:
        console: where to.
        reports: the sessions that failed, with the number of streams of their load.
        unmet: the bounds that were not met, with the index of the load.
        summaries: the loads.
    """
    for streams, report in reports:
        what = [report.problem] if report.problem else []
        what += ["its books do not add up"] if report.books is False else []
        what += list(report.violations)
        console.print(f"{streams} streams, session {report.number}: {report.outcome}: {'; '.join(what)}", markup=False)
    for column, bound in unmet:
        summary = summaries[column]
        reached = _figure(summary.figures()[bound.name], "{:.3f}")
        console.print(f"{summary.streams} streams: not met: {bound} (it is {reached})", markup=False, style="red")


def _figure(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)


def _interval(interval: Interval | None) -> str:
    return _UNKNOWN if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"

"""Print what was measured (door: rich)."""

import sys
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from scripts.load.scoring import Interval

from .figures import Figures
from .stages import STAGES

_COLUMN = 15
_PIPE = 200
"""Width of a line where there is no terminal."""

_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("WER, %", lambda f: number(f.wer_percent, ".2f")),
    ("  95 % interval", lambda f: _interval(f.wer)),
    ("WER above offline, points", lambda f: number(value_of(f.above_offline), "+.2f")),
    ("  95 % interval", lambda f: _interval(f.above_offline)),
    ("shown, p50 / p95, s", lambda f: pair(f.shown_p50_s, f.shown_p95_s)),
    ("committed, p50 / p95, s", lambda f: pair(f.committed_p50_s, f.committed_p95_s)),
    ("words changed after shown, %", lambda f: number(f.changed_percent, ".1f")),
    ("decodes", lambda f: number(f.decodes, "d")),
    ("draft tokens accepted, %", lambda f: number(f.accepted_percent, ".0f")),
    ("CPU-s a second of audio", lambda f: number(f.cpu_per_audio_s, ".4f")),
    ("sessions in the right language", lambda f: _share(f.languages_right)),
    ("times cheaper than plain", lambda f: number(f.ratio, ".2f")),
)


def output() -> Console:
    """Return where tables go."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE)


def print_figures(console: Console, title: str, figures: Sequence[Figures]) -> None:
    """Print contestants side by side; rows of which nothing is known are left out."""
    rows = [(label, [read(each) for each in figures]) for label, read in _ROWS]
    for stage in (*STAGES, "the rest"):
        shares = [(each.stages_percent or {}).get(stage) for each in figures]
        rows.append((f"  {stage}, % of it", [number(share, ".1f") for share in shares]))
    print_rows(console, title, [each.name for each in figures], rows)


def print_rows(console: Console, title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print a table with a first column of labels; rows without a value are left out.

    On a terminal that is too narrow the columns come in several tables, one below the other.
    """
    labels = max(len(label) for label, _ in rows)
    at_once = max(1, (console.width - labels - 4) // _COLUMN) if console.is_terminal else len(columns)
    for first in range(0, len(columns), at_once):
        shown = slice(first, first + at_once)
        table = Table(title=None if first else title, title_justify="left", box=SIMPLE_HEAD, highlight=False)
        table.add_column("", no_wrap=True)
        for column in columns[shown]:
            table.add_column(column, justify="right", no_wrap=True)
        for label, cells in rows:
            if any(cell.strip("- ") for cell in cells[shown]):
                table.add_row(label, *cells[shown])
        console.print(table)


def number(value: float | None, form: str) -> str:
    """Write a number, or a dash for none."""
    return "-" if value is None else format(value, form)


def value_of(interval: Interval | None) -> float | None:
    """Return what an interval is around."""
    return None if interval is None else interval.value


def pair(first: float | None, second: float | None) -> str:
    """Write two numbers, or a dash."""
    return "-" if first is None or second is None else f"{first:.2f} / {second:.2f}"


def _share(counts: tuple[int, int] | None) -> str:
    return "-" if counts is None else f"{counts[0]} of {counts[1]}"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"

"""Figures side by side on the terminal (door: rich)."""

import sys
from collections.abc import Sequence

from rich.box import HEAVY_HEAD, SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .scoring import Interval

__all__ = ["HEAVY_HEAD", "interval", "number", "output", "pair", "print_rows", "value_of"]

_COLUMN = 15
_PIPE_COLUMNS = 200  # the width of a line where there is no terminal


def output() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


def print_rows(
    console: Console,
    title: str | None,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str | Text]]],
    *,
    corner: str = "",
    box: Box = SIMPLE_HEAD,
) -> None:
    """Print a table with a first column of labels, under ``corner``; rows without a value are left out.

    On a terminal that is too narrow the columns come in several tables, one below the other.
    """
    labels = max(len(label) for label, _ in rows)
    at_once = max(1, (console.width - labels - 4) // _COLUMN) if console.is_terminal else len(columns)
    for first in range(0, len(columns), at_once):
        shown = slice(first, first + at_once)
        table = Table(title=None if first else title, title_justify="left", box=box, highlight=False)
        table.add_column(corner, no_wrap=True)
        for column in columns[shown]:
            table.add_column(column, justify="right", no_wrap=True)
        for label, cells in rows:
            if any(str(cell).strip("- /") for cell in cells[shown]):
                table.add_row(label, *cells[shown])
        console.print(table)


def number(value: float | None, form: str) -> str:
    """Write a number, or a dash for none."""
    return "-" if value is None else format(value, form)


def value_of(around: Interval | None) -> float | None:
    return None if around is None else around.value


def pair(first: float | None, second: float | None) -> str:
    """Write two numbers, or a dash."""
    return "-" if first is None or second is None else f"{first:.2f} / {second:.2f}"


def interval(found: Interval | None) -> str:
    """Write from where to where an interval goes, or a dash."""
    return "-" if found is None else f"{found.low:.2f} to {found.high:.2f}"

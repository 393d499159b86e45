"""What was measured, as JSON and side by side on the terminal (door: rich)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

_COLUMN = 15
_PIPE_COLUMNS = 200  # the width of a line where there is no terminal


def make_console(pipe_columns: int = _PIPE_COLUMNS, *, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=pipe_columns)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of cells, a row for each label under ``corner``; rows without a value are left out."""

    title: str | None
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str | Text]]]
    corner: str = ""
    box: Box = SIMPLE_HEAD

    def print(self, console: Console) -> None:
        """Print it; on a terminal that is too narrow the columns come in several tables, one below the other."""
        labels = max(len(label) for label, _ in self.rows)
        at_once = max(1, (console.width - labels - 4) // _COLUMN) if console.is_terminal else len(self.columns)
        for first in range(0, len(self.columns), at_once):
            shown = slice(first, first + at_once)
            title = None if first else self.title
            table = RichTable(title=title, title_justify="left", box=self.box, highlight=False)
            table.add_column(self.corner, no_wrap=True)
            for column in self.columns[shown]:
                table.add_column(column, justify="right", no_wrap=True)
            for label, cells in self.rows:
                if any(str(cell).strip("- /") for cell in cells[shown]):
                    table.add_row(label, *cells[shown])
            console.print(table)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, JSON but for dataclasses, and what is printed of it."""

    found: dict[str, object]
    printed: Sequence[str | Table]

    def print(self, console: Console) -> None:
        for each in self.printed:
            if isinstance(each, Table):
                each.print(console)
            else:
                console.print(each, markup=False, soft_wrap=True)


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def pair(first: float | None, second: float | None) -> str:
    return "-" if first is None or second is None else f"{first:.2f} / {second:.2f}"

"""What a measurement found: as JSON, and as lines and tables to print (door: rich)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from .tables import print_rows


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a title, and a row of cells for each label; rows without a value are not printed."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, JSON but for dataclasses, and what is printed of it."""

    found: dict[str, object]
    printed: Sequence[str | Table]

    def print(self, console: Console) -> None:
        """Print lines and tables in order."""
        for each in self.printed:
            if isinstance(each, Table):
                print_rows(console, each.title, each.columns, each.rows)
            else:
                console.print(each, markup=False, soft_wrap=True)

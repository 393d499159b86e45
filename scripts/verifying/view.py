"""Show it while it runs, and the table at the end (door: rich)."""

import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .evidence import Evidence
from .judging import judge
from .look import Look
from .rows import Row, Verdict

_MARKS = {
    Verdict.PASS: ("PASS", "green"),
    Verdict.FAIL: ("FAIL", "bold red"),
    Verdict.OPEN: ("    ", "dim"),
    Verdict.NONE: ("none", "yellow"),
}
_REFRESH_HZ = 4
_PIPE_WIDTH = 120
_NARROWEST = 78
"""From this width on what is expected stands in one line each."""


class View(Protocol):
    """Shows a run."""

    def show(self, doing: str, look: Look, seen: Evidence | None) -> None:
        """Show what goes on, and the last look."""

    def close(self) -> None:
        """Show nothing more."""


class Lines:
    """Prints a line for each new thing that goes on, and each verdict once it is there, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = ""
        self._told: set[str] = set()

    def show(self, doing: str, look: Look, seen: Evidence | None) -> None:
        """Print what is new."""
        if doing and doing != self._doing:
            self._doing = doing
            self._console.print(f"{doing} {list(look.loads)}", markup=False)
        for row in judge(seen) if seen else ():
            if row.verdict is not Verdict.OPEN and row.name not in self._told:
                self._told.add(row.name)
                self._console.print(f"  {_MARKS[row.verdict][0]}  {row.name}: {row.measured}", markup=False)

    def close(self) -> None:
        """Do nothing."""


class Screen:
    """Draws GPUs and checks in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn_s = 0.0

    def show(self, doing: str, look: Look, seen: Evidence | None) -> None:
        """Draw, not oftener than an eye wants it."""
        now = time.monotonic()
        if now - self._drawn_s < 1 / _REFRESH_HZ:
            return
        self._drawn_s = now
        self._live.update(self._draw(doing, look, seen), refresh=True)

    def close(self) -> None:
        """Take it off the screen."""
        self._live.stop()

    def _draw(self, doing: str, look: Look, seen: Evidence | None) -> RenderableType:
        health = {"healthy": "green", "degraded": "yellow"}.get(look.health, "red")
        head = Text(no_wrap=True, overflow="ellipsis")
        head.append(f"{time.monotonic() - self._began_s:4.0f} s ", "bold")
        head.append(f" {look.health}", health)
        head.append(f"  {doing or 'looking'}")
        rows = judge(seen) if seen else ()
        room = self._console.height - len(look.gpus) - 3  # the line above, the GPUs' titles, and the cursor's line
        return Group(head, _gpus(look, seen), _short(rows, max(1, room)))


def _gpus(look: Look, seen: Evidence | None) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, highlight=False)
    for title in ("       GPU", "sessions", "", "memory, GB", "before", "weights"):
        table.add_column(title, justify="right" if title in {"memory, GB", "before"} else "left", header_style="dim")
    for gpu in look.gpus:
        before = seen.idle.gpu(gpu.gpu_id) if seen else None
        slots = Text("■" * gpu.sessions, "cyan") + Text("·" * max(0, gpu.slots - gpu.sessions), "dim")
        table.add_row(
            f"       {gpu.gpu_id}",
            slots,
            f"{gpu.sessions}/{gpu.slots}" if gpu.serving else Text("not serving", "red"),
            _gb(gpu.memory_gb),
            _gb(before.memory_gb if before else None),
            gpu.weights or "",
        )
    return table


def _gb(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _short(rows: Sequence[Row], room: int) -> Table:
    """Return one line for each check; where there is not room for all, what failed and what is next."""
    left = list(rows)
    for verdict in (Verdict.PASS, Verdict.NONE, Verdict.OPEN):
        while len(left) > room and any(row.verdict is verdict for row in left):
            last = verdict is Verdict.OPEN
            picked = [index for index, row in enumerate(left) if row.verdict is verdict]
            del left[picked[-1 if last else 0]]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False, highlight=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for row in left:
        mark, style = _MARKS[row.verdict]
        table.add_row(Text(f" {mark}", style), row.name, row.measured or Text(row.title, "dim"))
    return table


def print_table(console: Console, rows: Sequence[Row]) -> None:
    """Print every check with what was expected, below its title, and measured."""
    table = Table(highlight=False, pad_edge=False, padding=(0, 2, 0, 0), box=None)
    table.add_column("")
    table.add_column("", no_wrap=True)
    table.add_column("expected", header_style="dim", no_wrap=console.width >= _NARROWEST)
    table.add_column("measured", header_style="dim")
    before = ""
    for row in rows:
        kind = row.name.split()[0] if row.name[-1].isdigit() else "beside the guide"
        if before not in {"", kind}:
            table.add_row()
        before = kind
        mark, style = _MARKS[row.verdict]
        about = Text.assemble(row.title, "\n", (row.expected, "dim"))
        table.add_row(Text(mark.strip() or "-", style), row.name, about, row.measured or Text("not made", "dim"))
    console.print(table)


def open_view(console: Console) -> View:
    """Return the view that fits where it is shown."""
    return Screen(console) if console.is_terminal else Lines(console)


def make_console(*, stderr: bool) -> Console:
    """Return a console; what is no terminal is given a width that needs no wrapping."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)

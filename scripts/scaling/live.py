"""Show the run while it goes on."""

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .checks import Row, judge
from .evidence import Evidence, Look
from .findings import Verdict

MARKS = {
    Verdict.PASS: ("PASS", "green"),
    Verdict.FAIL: ("FAIL", "bold red"),
    Verdict.OPEN: ("    ", "dim"),
    Verdict.NONE: ("none", "yellow"),
}
_REFRESH_HZ = 4
_PIPE_WIDTH = 120


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
                self._console.print(f"  {MARKS[row.verdict][0]}  {row.name}: {row.measured}", markup=False)

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
        """Draw, but not more often than a reader follows."""
        now = time.monotonic()
        if now - self._drawn_s < 1 / _REFRESH_HZ:
            return
        self._drawn_s = now
        self._live.update(self._draw(doing, look, seen), refresh=True)

    def close(self) -> None:
        """Take it off the screen."""
        self._live.stop()

    def _draw(self, doing: str, look: Look, seen: Evidence | None) -> RenderableType:
        health = {"healthy": "green", "degraded": "yellow"}.get(look.health.status, "red")
        head = Text(no_wrap=True, overflow="ellipsis")
        head.append(f"{time.monotonic() - self._began_s:4.0f} s ", "bold")
        head.append(f" {look.health.status}", health)
        head.append(f"  {doing or 'looking'}")
        rows = judge(seen) if seen else ()
        # Three lines are the one above, the GPUs' titles and the cursor's.
        lines = self._console.height - len(look.status.gpus) - 3
        return Group(head, _gpus(look, seen), _short(rows, max(1, lines)))


def _gpus(look: Look, seen: Evidence | None) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, highlight=False)
    for title in ("       GPU", "sessions", "", "memory, GB", "before", "weights"):
        table.add_column(title, justify="right" if title in {"memory, GB", "before"} else "left", header_style="dim")
    for gpu in look.status.gpus:
        slots = Text("■" * gpu.active_connections, "cyan") + Text("·" * gpu.free, "dim")
        table.add_row(
            f"       {gpu.gpu_id}",
            slots,
            f"{gpu.active_connections}/{gpu.slots}" if gpu.serving else Text("not serving", "red"),
            _gb(gpu.allocated_memory_gb),
            _gb(seen.idle.memory_gb(gpu.gpu_id) if seen else None),
            gpu.weights or "",
        )
    return table


def _gb(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _short(rows: Sequence[Row], lines: int) -> Table:
    """Return one line for each check; where not all fit, what failed and what is next."""
    left = list(rows)
    for verdict in (Verdict.PASS, Verdict.NONE, Verdict.OPEN):
        while len(left) > lines and any(row.verdict is verdict for row in left):
            last = verdict is Verdict.OPEN
            picked = [index for index, row in enumerate(left) if row.verdict is verdict]
            del left[picked[-1 if last else 0]]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False, highlight=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for row in left:
        mark, style = MARKS[row.verdict]
        table.add_row(Text(f" {mark}", style), row.name, row.measured or Text(row.title, "dim"))
    return table


def open_view(console: Console) -> Screen | Lines:
    """Return the view that fits where it is shown."""
    return Screen(console) if console.is_terminal else Lines(console)


def make_console(*, stderr: bool) -> Console:
    """Return a console; what is no terminal is given a width that needs no wrapping."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)

"""The figures on the terminal (door: rich)."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.tools.tables import number

from .schedule import Kind
from .verdict import SessionRecord, Verdict, nearest_rank


def show(verdict: Verdict, console: Console) -> None:
    _sessions(verdict.disturbed, console)
    _gaps(verdict, console)
    noise, damage = verdict.noise, verdict.damage
    plain, ours = verdict.undisturbed_errors, verdict.disturbed_errors
    done = ", ".join(f"{sum(fault.kind is kind for fault in verdict.faults)} x {kind.value}" for kind in Kind)
    words = ", ".join(
        f"{name} {getattr(damage, name)} (noise {getattr(noise, name)})"
        for name in ("lost", "doubled", "added", "changed")
    )
    said = ", ".join(
        f"{name} {getattr(ours, name)} (undisturbed {getattr(plain, name) / 2:.1f})" for name in ("lost", "doubled")
    )
    for line in (
        f"faults: {done}; {verdict.skipped} left out for want of two serving workers",
        f"against the undisturbed runs: {words} of {damage.words} words",
        f"against what was said: {said} of {ours.words} words",
        f"word error rate: undisturbed {plain.rate_percent:.2f} %, disturbed {ours.rate_percent:.2f} %",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    for sentence, met in verdict.goals():
        line = escape(f"{'met  ' if met else 'MISSED'} {sentence}")
        console.print(line, style="green" if met else "bold red", highlight=False, soft_wrap=True)


def _sessions(sessions: Sequence[SessionRecord], console: Console) -> None:
    table = Table(
        "session", "words", "moves", "reconnects", "received", "transcribed", "silence", "unclear", "dropped", "end"
    )
    for index, each in enumerate(sessions):
        books = each.books
        samples = (books.received, books.transcribed, books.silence, books.unclear, books.dropped)
        figures = (index, len(each.words), each.moves, each.reconnects, *samples)
        table.add_row(*map(str, figures), escape(each.problem or "complete"))
    console.print(table)
    for each in sessions:
        for violation in each.violations:
            console.print(escape(violation), style="red", highlight=False, soft_wrap=True)


def _gaps(verdict: Verdict, console: Console) -> None:
    table = Table("without a worker", "moves", "p50 ms", "p95 ms", "max ms")
    for name, values in verdict.gaps.items():
        figures = (nearest_rank(values, 50), nearest_rank(values, 95), max(values, default=None))
        table.add_row(name, str(len(values)), *(number(each, ".0f") for each in figures))
    console.print(table)

"""The figures on the terminal (door: rich)."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.faults.schedule import Kind
from scripts.faults.verdict import Heard, Verdict, p50, p95


def show(verdict: Verdict, console: Console) -> None:
    """Print everything that was seen, then each goal and whether it is met."""
    _sessions(verdict.disturbed, console)
    _gaps(verdict, console)
    noise, damage = verdict.noise, verdict.damage
    done = ", ".join(f"{sum(fault.kind is kind for fault in verdict.faults)} x {kind.value}" for kind in Kind)
    pairs = {
        "lost": (damage.lost, noise.lost),
        "doubled": (damage.doubled, noise.doubled),
        "added": (damage.added, noise.added),
        "changed": (damage.changed, noise.changed),
    }
    words = ", ".join(f"{name} {ours} (noise {theirs})" for name, (ours, theirs) in pairs.items())
    rates = f"undisturbed {verdict.undisturbed_wer:.2f} %, disturbed {verdict.disturbed_wer:.2f} %"
    plain, ours = verdict.undisturbed_errors, verdict.disturbed_errors
    said = (
        f"lost {ours.lost} (undisturbed {plain.lost / 2:.1f}), doubled {ours.doubled} (undisturbed "
        f"{plain.doubled / 2:.1f}) of {ours.words} words"
    )
    for line in (
        f"faults: {done}; {verdict.skipped} left out for want of two serving workers",
        f"against the undisturbed runs: {words} of {damage.words} words",
        f"against what was said: {said}",
        f"word error rate: {rates}",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    for sentence, met in verdict.goals():
        console.print(
            escape(f"{'met  ' if met else 'MISSED'} {sentence}"),
            style="green" if met else "bold red",
            highlight=False,
            soft_wrap=True,
        )


def _sessions(sessions: Sequence[Heard], console: Console) -> None:
    table = Table("session", "words", "moves", "reconnects", "received", "transcribed", "silence", "dropped", "end")
    for number, each in enumerate(sessions):
        figures = (len(each.words), each.moves, each.reconnects)
        books = (each.received, each.transcribed, each.silence, each.dropped)
        table.add_row(str(number), *map(str, figures), *map(str, books), escape(each.problem or "complete"))
    console.print(table)
    for each in sessions:
        for violation in each.violations:
            console.print(escape(violation), style="red", highlight=False, soft_wrap=True)


def _gaps(verdict: Verdict, console: Console) -> None:
    table = Table("without a worker", "moves", "p50 ms", "p95 ms", "max ms")
    found = verdict.gaps
    for name, values in (("kill", found.kill), ("hang", found.hang), ("drain", found.drain), ("other", found.other)):
        figures = (p50(values), p95(values), max(values, default=None))
        table.add_row(name, str(len(values)), *("-" if each is None else f"{each:.0f}" for each in figures))
    console.print(table)

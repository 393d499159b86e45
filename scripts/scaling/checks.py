"""The operator guide's three tests, five checks and six criteria as a table, and what its text asks for besides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import capacity, figures
from .evidence import RETURNED_SHARE, Evidence, Look
from .findings import Finding, Verdict, gpu_list, listed, ordinal, plural

_Check = tuple[str, str, str, str, Callable[[Evidence, Look], Finding | None]]
"""A name in the operator's guide, what it is about, what is expected, the stage in whose look it is judged, and how."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    title: str
    expected: str
    measured: str
    verdict: Verdict


def judge(seen: Evidence) -> tuple[Row, ...]:
    """Return all checks; one is open until the look of its stage is taken, or until its judgement says so."""
    rows = []
    for name, title, expected, stage, check in _table(seen):
        look = seen.look(stage)
        found = check(seen, look) if look else None
        verdict = {True: Verdict.PASS, False: Verdict.FAIL, None: Verdict.NONE}[found[0]] if found else Verdict.OPEN
        rows.append(Row(name, title, expected, found[1] if found else "", verdict))
    return tuple(rows)


def good(rows: Sequence[Row]) -> bool:
    return all(row.verdict in {Verdict.PASS, Verdict.NONE} for row in rows)


def _table(seen: Evidence) -> tuple[_Check, ...]:
    plan = seen.plan
    one, half, full = (listed(plan.loads(count)) for count in (1, plan.spread, plan.room))
    surplus = ordinal(plan.room + 1)
    half_taken, all_taken = (f"taken on {gpu_list(gpus)}" for gpus in (figures.half_gpus(plan), plan.gpus))
    at_limit = f"{plan.room} ready, {surplus} refused, critical"
    healthy = f"healthy at {capacity.healthy_at(plan)[1]}/{plan.total} slots"
    told = f'"{capacity.REFUSAL}", {capacity.TRY_AGAIN_LATER}'
    even = f"±{capacity.allowed_uneven(plan)} per GPU, after each one"
    low = "healthy in each look below 70 %"
    back = f"≥ {RETURNED_SHARE:.0%} back within {seen.release_s:g} s"
    return (
        ("Test 1", f"One session is on GPU {capacity.first(plan)}", one, "single", capacity.single),
        ("Test 2", f"{plural(plan.spread, 'session')} go round all GPUs", half, "spread", capacity.spread),
        ("Test 3", "Capacity limit", at_limit, "full", capacity.limit),
        ("Check 1", "Connection distribution", half, "spread", capacity.distribution),
        ("Check 2", "Memory distribution", half_taken, "spread", figures.memory),
        ("Check 3", "Performance consistency", "slowest ≤ 2x fastest, or < 300 ms", "full", figures.consistency),
        ("Check 4", "Health status", healthy, "idle", capacity.health),
        ("Check 5", f"The {surplus} is told why", told, "idle", capacity.enforcement),
        ("Criterion 1", "Evenly distributed connections", even, "full", capacity.evenness),
        ("Criterion 2", "Memory allocated when active", all_taken, "speaking", figures.memory_in_use),
        ("Criterion 3", "Setup time below 3 s", "average < 3 s, also when loading", "full", figures.setup),
        ("Criterion 4", "Healthy below 70 % capacity", low, "full", capacity.always_healthy),
        ("Criterion 5", f"{surplus} rejected at capacity", f"rejected, {full} stay", "crowded", capacity.rejection),
        ("Criterion 6", "Memory released after disconnect", back, "released", figures.release),
        ("Connecting", "Connected within 100 ms", "for 9 in 10, the way there aside", "speaking", figures.connecting),
        ("Newcomer", "Ready while all others speak", "< 5 s", "idle", figures.newcomer),
        ("Sessions", "Sessions end well", "all complete, no audio dropped", "idle", figures.wholeness),
    )

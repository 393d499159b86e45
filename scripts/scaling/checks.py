"""The operator guide's three tests, five checks and six criteria as a table, and what its text asks for besides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import capacity, figures
from .evidence import RETURNED_SHARE, Evidence, Look
from .findings import Finding, Verdict, gpu_list, listed, ordinal, plural


@dataclass(frozen=True, slots=True)
class Row:
    """A check: its name in the operator's guide, what it is about, what is expected, and what was measured."""

    name: str
    title: str
    expected: str
    measured: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """A check, open until the look of its stage is taken.

    Attributes:
        title: may name words of `_words` in braces, as ``expected`` may.
        stage: one of `STAGES`.
        judge: returns what was found in that look; None while the check is still open.
    """

    name: str
    title: str
    expected: str
    stage: str
    judge: Callable[[Evidence, Look], Finding | None]

    def row(self, seen: Evidence, words: Mapping[str, object]) -> Row:
        look = seen.look(self.stage)
        verdict, measured = (look and self.judge(seen, look)) or (Verdict.OPEN, "")
        return Row(self.name, self.title.format(**words), self.expected.format(**words), measured, verdict)


def judge(seen: Evidence) -> tuple[Row, ...]:
    words = _words(seen)
    return tuple(check.row(seen, words) for check in CHECKS)


def good(rows: Sequence[Row]) -> bool:
    """Return True if all checks that can be made were made, and none failed."""
    return all(row.verdict in {Verdict.PASS, Verdict.NONE} for row in rows)


def _words(seen: Evidence) -> dict[str, object]:
    plan = seen.plan
    one, half, full = plan.loads(1), plan.loads(plan.spread), plan.loads(plan.room)
    return {
        "first": capacity.first(plan),
        "one": listed(one),
        "half": listed(half),
        "full": listed(full),
        "sessions": plural(plan.spread, "session"),
        "room": plan.room,
        "surplus": ordinal(plan.room + 1),
        "half_gpus": gpu_list(figures.half_gpus(plan)),
        "gpus": gpu_list(plan.gpus),
        "healthy_at": f"{capacity.healthy_at(plan)[1]}/{plan.total}",
        "uneven": capacity.allowed_uneven(plan),
        "release_s": f"{seen.release_s:g}",
    }


CHECKS = (
    Check("Test 1", "One session is on GPU {first}", "{one}", "single", capacity.single),
    Check("Test 2", "{sessions} go round all GPUs", "{half}", "spread", capacity.spread),
    Check("Test 3", "Capacity limit", "{room} ready, {surplus} refused, critical", "full", capacity.limit),
    Check("Check 1", "Connection distribution", "{half}", "spread", capacity.distribution),
    Check("Check 2", "Memory distribution", "taken on {half_gpus}", "spread", figures.memory),
    Check("Check 3", "Performance consistency", "slowest ≤ 2x fastest, or < 300 ms", "full", figures.consistency),
    Check("Check 4", "Health status", "healthy at {healthy_at} slots", "idle", capacity.health),
    Check(
        "Check 5",
        "The {surplus} is told why",
        f'"{capacity.REFUSAL}", {capacity.TRY_AGAIN_LATER}',
        "idle",
        capacity.enforcement,
    ),
    Check(
        "Criterion 1", "Evenly distributed connections", "±{uneven} per GPU, after each one", "full", capacity.evenness
    ),
    Check("Criterion 2", "Memory allocated when active", "taken on {gpus}", "speaking", figures.memory_in_use),
    Check("Criterion 3", "Setup time below 3 s", "average < 3 s, also when loading", "full", figures.setup),
    Check(
        "Criterion 4", "Healthy below 70 % capacity", "healthy in each look below 70 %", "full", capacity.always_healthy
    ),
    Check("Criterion 5", "{surplus} rejected at capacity", "rejected, {full} stay", "crowded", capacity.rejection),
    Check(
        "Criterion 6",
        "Memory released after disconnect",
        f"≥ {RETURNED_SHARE:.0%} back within {{release_s}} s",
        "released",
        figures.release,
    ),
    Check("Connecting", "Connected within 100 ms", "for 9 in 10, the way there aside", "speaking", figures.connecting),
    Check("Newcomer", "Ready while all others speak", "< 5 s", "idle", figures.newcomer),
    Check("Sessions", "Sessions end well", "all complete, no audio dropped", "idle", figures.wholeness),
)

"""Judge where sessions are, what happens at the limit, and how the server calls its health."""

from collections import Counter

from .evidence import HEALTHY_BELOW_PERCENT, Evidence, Look, Phase, Plan
from .findings import Finding, listed, ordinal, plural

REFUSAL = "No GPU resources available"
TRY_AGAIN_LATER = 1013


def single(seen: Evidence, look: Look) -> Finding:
    told = [record.gpu_id for record in seen.of(Phase.SINGLE)]
    passed = look.loads == seen.plan.loads(1) and told in ([first(seen.plan)], [None])
    return passed, listed(look.loads) + (f", told GPU {told[0]}" if told != [None] else "")


def spread(seen: Evidence, look: Look) -> Finding:
    plan = seen.plan
    wanted = plan.loads(plan.spread)
    told = Counter(record.gpu_id for record in seen.of(Phase.SPREAD) if record.ready)
    if set(told) == {None}:
        return look.loads == wanted, f"{listed(look.loads)}, clients were not told"
    had = tuple(base + told[gpu] for gpu, base in zip(plan.gpus, plan.base, strict=True))
    return had == wanted, f"{listed(had)}, as clients were told"


def limit(seen: Evidence, look: Look) -> Finding | None:
    room, health = seen.plan.room, look.health.status
    ready = sum(record.ready for record in seen.of(Phase.SPREAD, Phase.FILL))
    if ready < room:
        return False, f"{ready} ready, {health}"
    if seen.look("crowded") is None:
        return None
    refused = _refused(seen)
    measured = f"{ready} ready, {ordinal(room + 1)} {'refused' if refused else 'not refused'}, {health}"
    return ready == room and refused and health == "critical", measured


def distribution(seen: Evidence, look: Look) -> Finding:
    return look.loads == seen.plan.loads(seen.plan.spread), listed(look.loads)


def enforcement(seen: Evidence, _idle: Look) -> Finding | None:
    surplus = seen.of(Phase.SURPLUS)
    if not surplus or surplus[0].ended is None:
        return None
    record = surplus[0]
    if record.ready:
        return False, f"it was served, on GPU {record.gpu_id}"
    told = f'"{record.errors[-1]}"' if record.errors else record.problem or "nothing"
    passed = _refused(seen) and any(REFUSAL in error for error in record.errors)
    return passed, f"{told}, {record.close_code}"


def evenness(seen: Evidence, _full: Look) -> Finding | None:
    plan = seen.plan
    if seen.look("spread") is None:
        return None
    looks = [look for look in seen.opening if len(look.loads) == len(plan.gpus)]
    worst = max((plan.uneven(look.loads) for look in looks), default=0)
    lost = len(seen.opening) - len(looks)
    measured = f"±{worst} in {plural(len(looks), 'look')}" + (f", a worker missing in {lost}" if lost else "")
    return worst <= allowed_uneven(plan) and not lost, measured


def rejection(seen: Evidence, look: Look) -> Finding:
    rejected = _refused(seen)
    measured = f"{'rejected' if rejected else 'not rejected'}, {listed(look.loads)}"
    return rejected and look.loads == seen.plan.loads(seen.plan.room), measured


def _refused(seen: Evidence) -> bool:
    """Return True if the session too many was turned away with an answer: a broken connection is none."""
    surplus = seen.of(Phase.SURPLUS)
    return bool(surplus) and not surplus[0].ready and surplus[0].close_code == TRY_AGAIN_LATER


def first(plan: Plan) -> int:
    pairs = zip(plan.base, plan.loads(1), strict=True)
    return plan.gpus[[before < after for before, after in pairs].index(True)]


def allowed_uneven(plan: Plan) -> int:
    """Return by how much loads may differ: sessions of others may make them uneven from the start."""
    return max(1, plan.uneven(plan.base))


def health(seen: Evidence, _idle: Look) -> Finding | None:
    """Judge health at half the capacity, or without sessions of ours where one is more than that."""
    stage, used = healthy_at(seen.plan)
    look, share = seen.look(stage), 100.0 * used / seen.plan.total
    if look is None:
        return None
    if share >= HEALTHY_BELOW_PERCENT:
        return None, f"{look.health.status} at {_percent(share)}: others use too much"
    return look.health.status == "healthy", f"{look.health.status} at {_percent(look.share_percent)}"


def healthy_at(plan: Plan) -> tuple[str, int]:
    """Return the stage at which health is judged, and the slots then in use: without sessions where one is too much."""
    others = sum(plan.base)
    half = others + plan.spread
    return ("spread", half) if 100.0 * half / plan.total < HEALTHY_BELOW_PERCENT else ("idle", others)


def always_healthy(seen: Evidence, _full: Look) -> Finding:
    low = [
        look
        for look in [seen.idle, *seen.opening]
        if look.share_percent is not None and look.share_percent < HEALTHY_BELOW_PERCENT
    ]
    if not low:
        idle = seen.idle
        return None, f"never below 70 %; {idle.health.status} at {_percent(idle.share_percent)}"
    healthy = sum(look.health.status == "healthy" for look in low)
    return healthy == len(low), f"healthy in {healthy} of {plural(len(low), 'look')}"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.3g} %"

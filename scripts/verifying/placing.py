"""The lines about places, capacity and health (core)."""

from collections import Counter

from .evidence import Act, Evidence
from .plan import HEALTHY_BELOW_PERCENT
from .rows import Check, Row, listed, ordinal, plural

REFUSAL = "No GPU resources available"
TRY_AGAIN_LATER = 1013


def single(seen: Evidence) -> Row:
    """Judge test 1: one session is on the first GPU, as the server says and as its client was told."""
    plan = seen.plan
    wanted = plan.loads(1)
    first = next(gpu for gpu, before, after in zip(plan.gpus, plan.base, wanted, strict=True) if after > before)
    check = Check("Test 1", f"One session is on GPU {first}", listed(wanted))
    if seen.single is None:
        return check.still_open()
    told = [visit.gpu_id for visit in seen.of(Act.SINGLE)]
    good = seen.single.loads == wanted and told in ([first], [None])
    return check.judged(good, listed(seen.single.loads) + (f", told GPU {told[0]}" if told != [None] else ""))


def spread(seen: Evidence) -> Row:
    """Judge test 2: the clients of half the capacity were told GPUs that are evenly spread."""
    plan = seen.plan
    wanted = plan.loads(plan.spread)
    check = Check("Test 2", f"{plural(plan.spread, 'session')} go round all GPUs", listed(wanted))
    if seen.spread is None:
        return check.still_open()
    told = Counter(visit.gpu_id for visit in seen.of(Act.SPREAD) if visit.ready)
    if set(told) == {None}:
        return check.judged(seen.spread.loads == wanted, f"{listed(seen.spread.loads)}, clients were not told")
    had = tuple(base + told[gpu] for gpu, base in zip(plan.gpus, plan.base, strict=True))
    return check.judged(had == wanted, f"{listed(had)}, as clients were told")


def limit(seen: Evidence) -> Row:
    """Judge test 3: everybody until the last slot is served, the next one is refused, and health is critical."""
    plan = seen.plan
    next_one = ordinal(plan.room + 1)
    expected = f"{plan.room} ready, {next_one} refused, critical"
    check = Check("Test 3", "Capacity limit", expected)
    if seen.full is None:
        return check.still_open()
    ready = sum(visit.ready for visit in seen.of(Act.SPREAD, Act.FILL))
    if ready < plan.room:
        return check.judged(good=False, measured=f"{ready} ready, {seen.full.health}")
    if seen.crowded is None:
        return check.still_open()
    refused = _refused(seen)
    critical = seen.full.health == "critical"
    accepted = "refused" if refused else "not refused"
    return check.judged(
        ready == plan.room and refused and critical,
        f"{ready} ready, {next_one} {accepted}, {seen.full.health}",
    )


def distribution(seen: Evidence) -> Row:
    """Judge check 1: ``active_connections`` at half the capacity."""
    plan = seen.plan
    wanted = plan.loads(plan.spread)
    check = Check("Check 1", "Connection distribution", listed(wanted))
    if seen.spread is None:
        return check.still_open()
    return check.judged(seen.spread.loads == wanted, listed(seen.spread.loads))


def health(seen: Evidence) -> Row:
    """Judge check 4: health at half the capacity, or without a session where one session is more than that."""
    plan = seen.plan
    share = plan.share_percent(plan.spread)
    if share < HEALTHY_BELOW_PERCENT:
        look, used = seen.spread, sum(plan.base) + plan.spread
    else:
        share, look, used = plan.share_percent(0), seen.idle, sum(plan.base)
    check = Check("Check 4", "Health status", f"healthy at {used}/{plan.total} slots")
    if look is None:
        return check.still_open()
    if share >= HEALTHY_BELOW_PERCENT:
        return check.impossible(f"{look.health} at {_percent(share)}: others use too much")
    return check.judged(look.health == "healthy", f"{look.health} at {_percent(look.share_percent)}")


def enforcement(seen: Evidence) -> Row:
    """Judge check 5: what the session too many was told."""
    number = ordinal(seen.plan.room + 1)
    check = Check("Check 5", f"The {number} is told why", f'"{REFUSAL}", {TRY_AGAIN_LATER}')
    surplus = seen.of(Act.SURPLUS)
    if not surplus or surplus[0].ended is None:
        return check.still_open()
    visit = surplus[0]
    if visit.ready:
        return check.judged(good=False, measured=f"it was served, on GPU {visit.gpu_id}")
    told = f'"{visit.errors[-1]}"' if visit.errors else visit.problem or "nothing"
    good = _refused(seen) and any(REFUSAL in error for error in visit.errors)
    return check.judged(good, f"{told}, {visit.close_code}")


def evenness(seen: Evidence) -> Row:
    """Judge criterion 1: after each arrival no GPU has two sessions more than one with room."""
    plan = seen.plan
    allowed = max(1, plan.uneven(plan.base))
    check = Check("Criterion 1", "Evenly distributed connections", f"±{allowed} per GPU, after each one")
    if seen.spread is None or seen.full is None:
        return check.still_open()
    looks = [look for look in seen.opening if len(look.loads) == len(plan.gpus)]
    worst = max((plan.uneven(look.loads) for look in looks), default=0)
    lost = len(seen.opening) - len(looks)
    measured = f"±{worst} in {plural(len(looks), 'look')}" + (f", a worker missing in {lost}" if lost else "")
    return check.judged(worst <= allowed and not lost, measured)


def wellness(seen: Evidence) -> Row:
    """Judge criterion 4: whenever less than 70 % of the slots were in use, health was ``healthy``."""
    check = Check("Criterion 4", "Healthy below 70 % capacity", "healthy in each look below 70 %")
    if seen.full is None:
        return check.still_open()
    looks = [seen.idle, *seen.opening]
    low = [look for look in looks if look.share_percent is not None and look.share_percent < HEALTHY_BELOW_PERCENT]
    if not low:
        return check.impossible(f"never below 70 %; {seen.idle.health} at {_percent(seen.idle.share_percent)}")
    healthy = sum(look.health == "healthy" for look in low)
    return check.judged(healthy == len(low), f"healthy in {healthy} of {plural(len(low), 'look')}")


def rejection(seen: Evidence) -> Row:
    """Judge criterion 5: the session too many was rejected and took nobody's place."""
    plan = seen.plan
    full = plan.loads(plan.room)
    number = ordinal(plan.room + 1)
    check = Check("Criterion 5", f"{number} rejected at capacity", f"rejected, {listed(full)} stay")
    if seen.crowded is None:
        return check.still_open()
    rejected = "rejected" if _refused(seen) else "not rejected"
    return check.judged(_refused(seen) and seen.crowded.loads == full, f"{rejected}, {listed(seen.crowded.loads)}")


def _refused(seen: Evidence) -> bool:
    """Tell whether the session too many was turned away with an answer: a broken connection is none."""
    surplus = seen.of(Act.SURPLUS)
    return bool(surplus) and not surplus[0].ready and surplus[0].close_code == TRY_AGAIN_LATER


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.3g} %"

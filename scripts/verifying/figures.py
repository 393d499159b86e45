"""The lines about setup times, memory and whole sessions (core)."""

from collections.abc import Sequence

from .evidence import LEAST_RISE_GB, RETURNED_SHARE, Act, Evidence, Visit
from .look import Look
from .rows import Check, Row, listed, plural

SETUP_AVERAGE_MS = 3000.0
SETUP_SLOW_MS = 5000.0
SETUP_RATIO = 2.0
SETUP_SHORT_MS = 300.0
CONNECTED_MS = 100.0
LATE_SHARE = 0.1
"""So many sessions may be connected late: on a crowded machine the client itself is sometimes not woken in time."""


def memory(seen: Evidence) -> Row:
    """Judge check 2: with sessions on all GPUs all have taken memory."""
    plan = seen.plan
    gpus = [gpu for gpu, load in zip(plan.gpus, plan.loads(plan.spread), strict=True) if load]
    check = Check("Check 2", "Memory distribution", f"taken on {_gpus(gpus)}")
    return check.still_open() if seen.spread is None else _taken(check, seen, seen.spread, gpus)


def memory_in_use(seen: Evidence) -> Row:
    """Judge criterion 2: when all slots were in use and all spoke, all GPUs had taken memory."""
    gpus = seen.plan.gpus
    check = Check("Criterion 2", "Memory allocated when active", f"taken on {_gpus(gpus)}")
    return check.still_open() if seen.speaking is None else _taken(check, seen, seen.speaking, gpus)


def _taken(check: Check, seen: Evidence, look: Look, gpus: Sequence[int]) -> Row:
    """Judge whether memory was taken: more than before, or any at all where the weights were there before."""
    rises: list[str] = []
    good = known = True
    for gpu_id in gpus:
        before, now = seen.idle.gpu(gpu_id), look.gpu(gpu_id)
        if before is None or now is None or before.memory_gb is None or now.memory_gb is None:
            known = False
            continue
        most = max(now.memory_gb, seen.most_gb.get(gpu_id, 0.0)) if look is seen.speaking else now.memory_gb
        warm = before.weights == "device" or before.sessions > 0
        good &= most > 0 if warm else most - before.memory_gb >= LEAST_RISE_GB
        rises.append(f"{most:.2f}" if warm else f"{most - before.memory_gb:+.2f}")
    if not known:
        return check.impossible("the server does not know its memory")
    return check.judged(good, f"{listed(rises)} GB{_kind(seen)}")


def _kind(seen: Evidence) -> str:
    """Say what is measured where it is no GPU's memory."""
    return " (private)" if any(gpu.device == "cpu" for gpu in seen.idle.serving) else ""


def release(seen: Evidence) -> Row:
    """Judge criterion 6: memory goes down again after the last session."""
    check = Check(
        "Criterion 6", "Memory released after disconnect", f"≥ {RETURNED_SHARE:.0%} back within {seen.release_s:g} s"
    )
    look = seen.released
    if look is None or seen.waited_s is None:
        return check.still_open()
    if any(gpu.sessions for gpu in look.serving):
        return check.impossible(f"{plural(sum(look.loads), 'session')} of others hold it")
    shares = {gpu: seen.returned_share(look, gpu) for gpu in seen.plan.gpus}
    known = {gpu: share for gpu, share in shares.items() if share is not None}
    kept = [gpu for gpu in look.serving if gpu.weights == "device"]
    if not known and not kept:
        return check.impossible("no GPU's memory had changed")
    if not known:
        return check.judged(good=False, measured=f"the weights stay on {_gpus([gpu.gpu_id for gpu in kept])}")
    backs = [f"{min(1.0, max(0.0, share)):.0%}" for share in known.values()]
    return check.judged(min(known.values()) >= RETURNED_SHARE, f"{listed(backs)} back after {seen.waited_s:.0f} s")


def consistency(seen: Evidence) -> Row:
    """Judge check 3: like setups take alike, those that load weights and those that do not.

    A measurement that was repeated counts by its better one: what makes one GPU slow makes it slow twice.
    """
    check = Check("Check 3", "Performance consistency", "slowest ≤ 2x fastest, or < 300 ms")
    ready = [visit for visit in seen.of(Act.SINGLE, Act.SPREAD, Act.FILL) if visit.ready]
    if seen.full is None:
        return check.still_open()
    if len(ready) < 2:
        return check.impossible(f"{plural(len(ready), 'setup')}")
    groups = grouped(ready)
    again = [visit for visit in seen.of(Act.AGAIN) if visit.ready]
    texts = [f"{name} {_span(times)}" for name, times in groups.items()]
    bad = {name for name, times in groups.items() if not alike(times)}
    if again:
        for name, times in grouped(again).items():
            texts.append(f"{name} again {_span(times)}")
            if len(times) > 1 and alike(times):
                bad.discard(name)
    return check.judged(not bad, "; ".join(texts))


def grouped(visits: Sequence[Visit]) -> dict[str, list[float]]:
    """Return the setup times of visits that loaded weights, and of those that did not."""
    groups: dict[str, list[float]] = {}
    for visit in visits:
        if visit.ready_ms is not None:
            name = {True: "loading", False: "loaded", None: "all"}[visit.loads]
            groups.setdefault(name, []).append(visit.ready_ms)
    return groups


def alike(times_ms: Sequence[float]) -> bool:
    """Tell whether setup times are similar, or all too short to matter."""
    return max(times_ms) <= max(SETUP_RATIO * min(times_ms), SETUP_SHORT_MS)


def setup(seen: Evidence) -> Row:
    """Judge criterion 3: the average setup, of all sessions and of those that had to load weights."""
    check = Check("Criterion 3", "Setup time below 3 s", "average < 3 s, also when loading")
    if seen.full is None:
        return check.still_open()
    groups = grouped([visit for visit in seen.of(Act.SINGLE, Act.SPREAD, Act.FILL) if visit.ready])
    times = [time for group in groups.values() for time in group]
    if not times:
        return check.judged(good=False, measured="no session became ready")
    averages = [_mean(times), *([_mean(groups["loading"])] if "loading" in groups else [])]
    measured = f"{averages[0] / 1000:.2f} s" + (f", loading {averages[1] / 1000:.2f} s" if averages[1:] else "")
    return check.judged(max(averages) < SETUP_AVERAGE_MS, measured)


def connecting(seen: Evidence) -> Row:
    """Judge how long clients wait for the server's first word, the way to it aside."""
    check = Check("Connecting", "Connected within 100 ms", "for 9 in 10, the way there aside")
    visits = seen.of(Act.SINGLE, Act.SPREAD, Act.FILL, Act.SURPLUS, Act.NEWCOMER)
    if seen.speaking is None:
        return check.still_open()
    times = sorted(max(0.0, visit.connected_ms - seen.floor_ms) for visit in visits if visit.connected_ms is not None)
    late = sum(time >= CONNECTED_MS for time in times) + len(visits) - len(times)
    good = bool(times) and late <= LATE_SHARE * len(visits)
    middle = f"median {times[len(times) // 2]:.0f} ms, slowest {times[-1]:.0f} ms" if times else "none"
    return check.judged(good, middle)


def newcomer(seen: Evidence) -> Row:
    """Judge the setup of one who comes while all others speak: it must not wait for them long."""
    check = Check("Newcomer", "Ready while all others speak", "< 5 s")
    visits = seen.of(Act.NEWCOMER)
    if not visits or (not visits[0].ready and visits[0].ended is None):
        return check.still_open()
    ready_ms = visits[0].ready_ms
    if ready_ms is None:
        return check.judged(good=False, measured=visits[0].problem or "not served")
    return check.judged(ready_ms < SETUP_SLOW_MS, f"{ready_ms / 1000:.2f} s")


def wholeness(seen: Evidence) -> Row:
    """Judge whether every session had all its words: it came to its end, and its books account for all audio."""
    check = Check("Sessions", "Sessions end well", "all complete, no audio dropped")
    visits = [visit for visit in seen.of(Act.SINGLE, Act.SPREAD, Act.FILL, Act.NEWCOMER) if visit.ready]
    if not seen.over or any(visit.ended is None for visit in visits):
        return check.still_open()
    well = [visit for visit in visits if visit.ended == "complete" and visit.books is not False and not visit.dropped_s]
    words, audio_s = sum(visit.words for visit in visits), sum(visit.audio_s for visit in visits)
    measured = f"{len(well)} of {len(visits)}; {words} words in {audio_s:.0f} s"
    return check.judged(bool(visits) and len(well) == len(visits) and words > 0, measured)


def _span(times_ms: Sequence[float]) -> str:
    return f"{min(times_ms):.0f} to {max(times_ms):.0f} ms" if len(times_ms) > 1 else f"{times_ms[0]:.0f} ms"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _gpus(numbers: Sequence[int]) -> str:
    return f"GPU {', '.join(map(str, numbers))}" if len(numbers) <= 8 else f"{len(numbers)} GPUs"

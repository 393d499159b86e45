"""Judge memory, setup times and whether sessions were whole."""

from collections.abc import Sequence

from .evidence import LEAST_RISE_GB, OPENED, RETURNED_SHARE, Evidence, Look, Phase, Plan, SessionRecord
from .findings import Finding, gpu_list, listed, plural

SETUP_AVERAGE_MS = 3000.0
SETUP_SLOW_MS = 5000.0
SETUP_RATIO = 2.0
SETUP_SHORT_MS = 300.0
CONNECTED_MS = 100.0
LATE_SHARE = 0.1
"""The share of sessions that may be connected late: on a crowded machine the client itself is sometimes not woken in
time."""


def memory(seen: Evidence, look: Look) -> Finding:
    return _taken(seen, look, half_gpus(seen.plan))


def memory_in_use(seen: Evidence, look: Look) -> Finding:
    return _taken(seen, look, seen.plan.gpus)


def _taken(seen: Evidence, look: Look, gpus: Sequence[int]) -> Finding:
    """Judge whether memory was taken: more than before, or any at all where the weights were there before."""
    rises: list[str] = []
    passed = True
    for gpu_id in gpus:
        idle, before, now = seen.idle.status.worker(gpu_id), seen.idle.memory_gb(gpu_id), look.memory_gb(gpu_id)
        if idle is None or before is None or now is None:
            return None, "the server does not know its memory"
        most = max(now, seen.most_gb.get(gpu_id, 0.0)) if look is seen.look("speaking") else now
        warm = idle.weights == "device" or idle.active_connections > 0
        passed &= most > 0 if warm else most - before >= LEAST_RISE_GB
        rises.append(f"{most:.2f}" if warm else f"{most - before:+.2f}")
    # Where there is no GPU it is a process's private memory.
    kind = " (private)" if any(gpu.device == "cpu" for gpu in seen.idle.serving) else ""
    return passed, f"{listed(rises)} GB{kind}"


def release(seen: Evidence, look: Look) -> Finding | None:
    if seen.waited_s is None:
        return None
    if sum(look.loads):
        return None, f"{plural(sum(look.loads), 'session')} of others hold it"
    known = seen.returned_shares(look)
    kept = [gpu.gpu_id for gpu in look.serving if gpu.weights == "device"]
    if not known and not kept:
        return None, "no GPU's memory had changed"
    if not known:
        return False, f"the weights stay on {gpu_list(kept)}"
    backs = listed([f"{min(1.0, max(0.0, share)):.0%}" for share in known])
    return min(known) >= RETURNED_SHARE, f"{backs} back after {seen.waited_s:.0f} s"


def half_gpus(plan: Plan) -> list[int]:
    return [gpu for gpu, load in zip(plan.gpus, plan.loads(plan.spread), strict=True) if load]


def consistency(seen: Evidence, _full: Look) -> Finding:
    """Judge that setups alike take alike, those that load weights and those that do not.

    A measurement that was repeated counts by its better one: what makes one GPU slow makes it slow twice.
    """
    groups, again = setup_times(seen.of(*OPENED)), setup_times(seen.of(Phase.AGAIN))
    count = sum(map(len, groups.values()))
    if count < 2:
        return None, plural(count, "setup")
    bad = {name for name, times in groups.items() if not alike(times)}
    bad -= {name for name, times in again.items() if len(times) > 1 and alike(times)}
    texts = [f"{name} {_span(times)}" for name, times in groups.items()]
    texts += [f"{name} again {_span(times)}" for name, times in again.items()]
    return not bad, "; ".join(texts)


def setup(seen: Evidence, _full: Look) -> Finding:
    groups = setup_times(seen.of(*OPENED))
    times = [time for group in groups.values() for time in group]
    if not times:
        return False, "no session became ready"
    averages = [sum(each) / len(each) for each in (times, groups.get("loading")) if each]
    measured = f"{averages[0] / 1000:.2f} s" + "".join(f", loading {each / 1000:.2f} s" for each in averages[1:])
    return max(averages) < SETUP_AVERAGE_MS, measured


def setup_times(records: Sequence[SessionRecord]) -> dict[str, list[float]]:
    """Return the setup times, in milliseconds, of sessions that loaded weights, and of those that did not."""
    groups: dict[str, list[float]] = {}
    for record in records:
        if record.ready_ms is not None:
            name = {True: "loading", False: "loaded", None: "all"}[record.loads]
            groups.setdefault(name, []).append(record.ready_ms)
    return groups


def alike(times_ms: Sequence[float]) -> bool:
    """Return True if setup times are similar, or all too short to matter."""
    return max(times_ms) <= max(SETUP_RATIO * min(times_ms), SETUP_SHORT_MS)


def connecting(seen: Evidence, _speaking: Look) -> Finding:
    records = seen.of(*OPENED, Phase.SURPLUS, Phase.NEWCOMER)
    known = [record.connected_ms for record in records if record.connected_ms is not None]
    times = sorted(max(0.0, time - seen.floor_ms) for time in known)
    late = sum(time >= CONNECTED_MS for time in times) + len(records) - len(times)
    measured = f"median {times[len(times) // 2]:.0f} ms, slowest {times[-1]:.0f} ms" if times else "none"
    return bool(times) and late <= LATE_SHARE * len(records), measured


def newcomer(seen: Evidence, _idle: Look) -> Finding | None:
    records = seen.of(Phase.NEWCOMER)
    if not records or (not records[0].ready and records[0].ended is None):
        return None
    ready_ms = records[0].ready_ms
    if ready_ms is None:
        return False, records[0].problem or "not served"
    return ready_ms < SETUP_SLOW_MS, f"{ready_ms / 1000:.2f} s"


def wholeness(seen: Evidence, _idle: Look) -> Finding | None:
    """Judge that every session had all its words: it came to its end, and all its audio is accounted for."""
    records = [record for record in seen.of(*OPENED, Phase.NEWCOMER) if record.ready]
    if not seen.over or any(record.ended is None for record in records):
        return None
    well = [each for each in records if each.ended == "complete" and each.accounted is not False and not each.dropped_s]
    words, audio_s = sum(record.words for record in records), sum(record.audio_s for record in records)
    measured = f"{len(well)} of {len(records)}; {words} words in {audio_s:.0f} s"
    return bool(records) and len(well) == len(records) and words > 0, measured


def _span(times_ms: Sequence[float]) -> str:
    return f"{min(times_ms):.0f} to {max(times_ms):.0f} ms" if len(times_ms) > 1 else f"{times_ms[0]:.0f} ms"

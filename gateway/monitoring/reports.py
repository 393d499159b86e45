"""The bodies of the guide's JSON endpoints, from the pool and the statistics; `gateway.monitoring.prometheus` has its Prometheus one.

An unknown figure is None, never invented.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gateway.monitoring.quantiles import SLICE_S, SLICES, Sketch, total
from gateway.monitoring.statistics import FIGURES, Setup, Statistics
from gateway.placement.workers import Pool, Worker
from gateway.sessions.send_queue import JsonObject
from shared.messages import SAMPLE_RATE, MemoryReport

GB = 2**30
HEALTHY_BELOW = 70.0
CRITICAL_ABOVE = 90.0

NAMES = frozenset({"connection", "connection_ids", "waiting_connection_ids", "graced_connection_ids"})
"""Keys under which sessions are named."""

_UNKNOWN = MemoryReport(None, None, None, None, None)


def memory(worker: Worker) -> MemoryReport:
    """Return the worker's last memory report, unknowns if it is not alive."""
    return worker.beat.memory if worker.beat else _UNKNOWN


def gpu_status(
    pool: Pool, slots_per_gpu: int, *, waiting: Sequence[str] = (), graced: Sequence[str] = ()
) -> JsonObject:
    """Return the body of ``/gpu-status``. Only serving workers count in ``total_gpus``; all are listed.

    Args:
        pool: workers and leases.
        slots_per_gpu: what a worker is expected to serve.
        waiting: sessions that wait for a slot.
        graced: sessions without a slot whose client is away.
    """
    workers = pool.workers()
    return {
        "total_gpus": len(pool.serving()),
        "total_connections": sum(len(worker.leases) for worker in workers),
        "max_connections_per_gpu": max((worker.slots for worker in workers), default=0) or slots_per_gpu,
        "gpus": [_gpu(worker) for worker in workers],
        "waiting_connection_ids": list(waiting),
        "graced_connection_ids": list(graced),
    }


def _gpu(worker: Worker) -> JsonObject:
    report, facts = memory(worker), worker.facts
    return {
        "gpu_id": worker.gpu_id,
        "active_connections": len(worker.leases),
        "connection_ids": list(worker.leases.values()),
        "total_memory_gb": in_gb(report.total),
        "allocated_memory_gb": in_gb(report.allocated),
        "free_memory_gb": in_gb(report.free),
        "utilization_percent": _share(report.allocated, report.total),
        "available_memory_gb": in_gb(report.available),
        "gpu_utilization_percent": report.utilization_percent,
        "state": worker.state.value,
        "worker": worker.name,
        "device": facts.device if facts else None,
        "device_name": facts.device_name if facts else None,
        "gpu_uuid": facts.gpu_uuid if facts else None,
        "model": facts.model if facts else None,
        "weights": worker.beat.weights if worker.beat else None,
        "slots": worker.slots,
        "lag_s": lag_s(worker),
        "boots": worker.boots,
        "boot": worker.boot or None,
    }


def lag_s(worker: Worker) -> float | None:
    """Return the largest lag of the worker's slots, in seconds of audio; None if it is not alive."""
    if worker.beat is None:
        return None
    return round(max((slot.received - slot.decoded for slot in worker.beat.slots), default=0) / SAMPLE_RATE, 2)


KEYS = {
    "total": "setup_time_ms",
    "accept": "accept_ms",
    "allocate": "allocate_ms",
    "load": "load_ms",
    "audio_to_text_lag": "audio_to_text_lag_ms",
    "first_word": "first_word_ms",
    "commit": "commit_latency_ms",
    "flush": "flush_latency_ms",
}
"""What each of `FIGURES` is called in ``/performance``."""


def performance(pool: Pool, statistics: Statistics, now: float) -> JsonObject:
    """Return the body of ``/performance``; ``now`` is the time that the statistics were given."""
    figures = statistics.latencies
    return summary(pool, statistics) | {
        **_spread(figures.ever()),
        f"last_{SLICES * SLICE_S / 60:.0f}_minutes": _spread(figures.lately(now)),
        "recent_moves": [asdict(move) for move in statistics.recent_moves],
        "recent_endings": [asdict(ending) for ending in statistics.recent_endings],
    }


def _spread(sketches: Mapping[tuple[int, str], Sketch]) -> JsonObject:
    """Return the percentiles of every figure, of all GPUs together and of each that has any."""
    by_name: dict[str, list[Sketch]] = {name: [] for name in FIGURES}
    by_gpu: dict[int, dict[str, Sketch]] = defaultdict(dict)
    for (gpu_id, name), sketch in sketches.items():
        by_name[name].append(sketch)
        by_gpu[gpu_id][name] = sketch
    empty = Sketch()
    return {
        "percentiles": {KEYS[name]: _percentiles(total(found)) for name, found in by_name.items()},
        "percentiles_by_gpu": {
            str(gpu_id): {KEYS[name]: _percentiles(found.get(name, empty)) for name in FIGURES}
            for gpu_id, found in sorted(by_gpu.items())
        },
    }


def summary(pool: Pool, statistics: Statistics) -> JsonObject:
    """Return what ``/health`` has of ``/performance``: the guide's keys, and how sessions ended."""
    done = statistics.completed
    return {
        "total_completed_connections": done,
        "active_connections": sum(len(worker.leases) for worker in pool.workers()),
        "averages": {
            "setup_time_ms": _rounded(statistics.average_setup_ms()),
            "connection_duration_s": _mean(statistics.duration_s_sum, done),
            "audio_chunks_per_connection": _mean(statistics.chunks_sum, done),
            "transcriptions_per_connection": _mean(statistics.transcriptions_sum, done),
        },
        "extremes": {
            "slowest_setup_ms": _rounded(statistics.slowest_setup_ms),
            "fastest_setup_ms": _rounded(statistics.fastest_setup_ms),
        },
        "outcomes": dict(statistics.outcomes),
    }


def health(pool: Pool, statistics: Statistics, timestamp: float) -> tuple[JsonObject, int]:
    """Return the body of ``/health`` and its HTTP status: 503 when no slot is served at all."""
    total, used = pool.total_slots(), pool.used_slots()
    serving = pool.serving()
    share = 100.0 * used / total if total else None
    models = sorted({worker.facts.model for worker in serving if worker.facts})
    body: JsonObject = {
        "status": health_status(share),
        "timestamp": round(timestamp, 3),
        "capacity": {
            "total_slots": total,
            "used_slots": used,
            "available_slots": max(0, total - used),
            "utilization_percent": None if share is None else round(share, 1),
        },
        "gpus": {
            "total": len(serving),
            "with_connections": sum(bool(worker.leases) for worker in serving),
        },
        "performance": summary(pool, statistics),
        "model": ", ".join(models) or None,
    }
    return body, 200 if total else 503


def unready(pool: Pool, *, stopping: bool) -> str | None:
    """Return why no new session would be served now; None if one would."""
    if stopping:
        return "the gateway stops"
    return None if pool.total_slots() else "no worker serves"


def without_names(body: object) -> object:
    """Return a body with null in place of every session's name, and of lists of them."""
    if isinstance(body, dict):
        return {key: None if key in NAMES else without_names(value) for key, value in body.items()}
    return [without_names(each) for each in body] if isinstance(body, list) else body


def health_status(share: float | None) -> str:
    """Return the guide's word for a share of used slots in percent; None means that there are none."""
    if share is None or share > CRITICAL_ABOVE:
        return "critical"
    return "healthy" if share < HEALTHY_BELOW else "degraded"


def setup(accept_ms: float, allocate_ms: float, load_ms: float, total_ms: float) -> Setup:
    """Return a setup's figures, to the hundredth of a millisecond."""
    return Setup(*(round(value, 2) for value in (accept_ms, allocate_ms, load_ms, total_ms)))


def in_gb(value: int | None) -> float | None:
    """Return bytes in GB of 2^30 bytes, to two decimals, as the guide shows them."""
    return None if value is None else round(value / GB, 2)


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 1) if count else None


def _percentiles(sketch: Sketch) -> JsonObject:
    found = {f"p{share}": sketch.percentile(share / 100) for share in (50, 95, 99)}
    in_ms = {name: None if value_s is None else round(value_s * 1000, 1) for name, value_s in found.items()}
    return {**in_ms, "count": sketch.count}

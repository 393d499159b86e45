"""The bodies of the JSON endpoints, from a snapshot and the statistics (core). An unknown figure is None."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.monitoring.quantiles import SLICE_S, SLICES, QuantileSketch, merge
from gateway.monitoring.snapshot import Snapshot, WorkerSnapshot
from gateway.monitoring.statistics import FIGURES, Statistics

JsonObject = dict[str, Any]

GB = 2**30

NAMES = frozenset({"connection", "connection_ids", "waiting_connection_ids", "graced_connection_ids"})
"""Keys whose values are sessions' ids."""


def gpu_status(snapshot: Snapshot, slots_per_gpu: int) -> JsonObject:
    """Return the body of ``/gpu-status``: ``total_gpus`` counts the serving workers, ``gpus`` lists all.

    Args:
        snapshot: workers and sessions.
        slots_per_gpu: slots of a worker, as long as none serves.
    """
    return {
        "total_gpus": len(snapshot.serving),
        "total_connections": snapshot.connections,
        "max_connections_per_gpu": max((worker.slots for worker in snapshot.workers), default=0) or slots_per_gpu,
        "gpus": [_gpu(worker) for worker in snapshot.workers],
        "waiting_connection_ids": snapshot.in_state("waiting"),
        "graced_connection_ids": snapshot.in_state("parked"),
    }


def _gpu(worker: WorkerSnapshot) -> JsonObject:
    memory, registration = worker.memory, worker.registration
    return {
        "gpu_id": worker.gpu_id,
        "active_connections": len(worker.leases),
        "connection_ids": list(worker.leases.values()),
        "total_memory_gb": in_gb(memory.total),
        "allocated_memory_gb": in_gb(memory.allocated),
        "free_memory_gb": in_gb(memory.free),
        "utilization_percent": _share(memory.allocated, memory.total),
        "available_memory_gb": in_gb(memory.available),
        "gpu_utilization_percent": memory.utilization_percent,
        "state": worker.state.value,
        "worker": worker.name,
        "device": registration.device if registration else None,
        "device_name": registration.device_name if registration else None,
        "gpu_uuid": registration.gpu_uuid if registration else None,
        "model": registration.model if registration else None,
        "weights": worker.weights,
        "slots": worker.slots,
        "lag_s": worker.lag_s,
        "boots": worker.boots,
        "boot": worker.boot,
    }


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
"""The names of `FIGURES` in ``/performance``."""


def performance(snapshot: Snapshot, statistics: Statistics, now: float) -> JsonObject:
    """Return the body of ``/performance``; ``now`` is by the clock of the statistics."""
    figures = statistics.latencies
    return summary(snapshot, statistics) | {
        **_spread(figures.ever()),
        f"last_{SLICES * SLICE_S / 60:.0f}_minutes": _spread(figures.lately(now)),
        "recent_moves": [asdict(move) for move in statistics.recent_moves],
        "recent_endings": [asdict(ending) for ending in statistics.recent_endings],
    }


def _spread(sketches: Mapping[tuple[int, str], QuantileSketch]) -> JsonObject:
    """Return the percentiles of every figure, of all GPUs together and of each one that has values."""
    by_name: dict[str, list[QuantileSketch]] = {name: [] for name in FIGURES}
    by_gpu: dict[int, dict[str, QuantileSketch]] = defaultdict(dict)
    for (gpu_id, name), sketch in sketches.items():
        by_name[name].append(sketch)
        by_gpu[gpu_id][name] = sketch
    empty = QuantileSketch()
    return {
        "percentiles": {KEYS[name]: _percentiles(merge(found)) for name, found in by_name.items()},
        "percentiles_by_gpu": {
            str(gpu_id): {KEYS[name]: _percentiles(found.get(name, empty)) for name in FIGURES}
            for gpu_id, found in sorted(by_gpu.items())
        },
    }


def summary(snapshot: Snapshot, statistics: Statistics) -> JsonObject:
    """Return the part of ``/performance`` that is in ``/health`` too: the guide's keys, and how sessions ended."""
    done = statistics.completed
    return {
        "total_completed_connections": done,
        "active_connections": snapshot.connections,
        "averages": {
            "setup_time_ms": _rounded(statistics.average_setup_ms()),
            "connection_duration_s": _mean(statistics.duration_s_sum, done),
            "audio_chunks_per_connection": _mean(statistics.audio_messages_sum, done),
            "transcriptions_per_connection": _mean(statistics.text_updates_sum, done),
        },
        "extremes": {
            "slowest_setup_ms": _rounded(statistics.slowest_setup_ms),
            "fastest_setup_ms": _rounded(statistics.fastest_setup_ms),
        },
        "outcomes": dict(statistics.outcomes),
    }


def health(snapshot: Snapshot, statistics: Statistics, timestamp: float) -> tuple[JsonObject, int]:
    """Return the body of ``/health`` and its HTTP status: 503 if there is no slot at all."""
    total, used, percent = snapshot.total_slots, snapshot.used_slots, snapshot.used_percent
    body: JsonObject = {
        "status": snapshot.health,
        "timestamp": round(timestamp, 3),
        "capacity": {
            "total_slots": total,
            "used_slots": used,
            "available_slots": max(0, total - used),
            "utilization_percent": None if percent is None else round(percent, 1),
        },
        "gpus": {
            "total": len(snapshot.serving),
            "with_connections": sum(bool(worker.leases) for worker in snapshot.serving),
        },
        "performance": summary(snapshot, statistics),
        "model": snapshot.model,
    }
    return body, 200 if total else 503


def unready(snapshot: Snapshot, *, stopping: bool) -> str | None:
    """Return why no new session would be served now; None if one would."""
    if stopping:
        return "the gateway stops"
    return None if snapshot.total_slots else "no worker serves"


def without_names(body: object) -> object:
    """Return a body with null under each of `NAMES`."""
    if isinstance(body, dict):
        return {key: None if key in NAMES else without_names(value) for key, value in body.items()}
    return [without_names(each) for each in body] if isinstance(body, list) else body


def in_gb(value: int | None) -> float | None:
    """Return bytes as GB of 2^30 bytes, rounded to two decimals as in the guide."""
    return None if value is None else round(value / GB, 2)


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 1) if count else None


def _percentiles(sketch: QuantileSketch) -> JsonObject:
    found = {f"p{share}": sketch.percentile(share / 100) for share in (50, 95, 99)}
    in_ms = {name: None if value_s is None else round(value_s * 1000, 1) for name, value_s in found.items()}
    return {**in_ms, "count": sketch.count}

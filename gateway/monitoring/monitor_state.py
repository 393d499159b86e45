"""The state at one moment, as ``/monitor`` and ``scripts/status`` show it (core).

It holds no text and no token, and only the beginnings of sessions' ids.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.monitoring.history import short_id
from gateway.monitoring.reports import in_gb
from gateway.monitoring.snapshot import SessionSnapshot, Snapshot, WorkerSnapshot
from gateway.placement.worker_handle import WorkerState

JsonObject = dict[str, Any]


def monitor_state(snapshot: Snapshot, *, at: float, uptime_s: float, slots_per_gpu: int) -> JsonObject:
    """Return the whole state.

    Args:
        snapshot: workers and sessions.
        at: Unix time.
        uptime_s: how long the gateway has run.
        slots_per_gpu: slots of a worker that has not registered yet.
    """
    sessions = {each.id: each for each in snapshot.sessions}
    gpus = [_gpu(worker, sessions, slots_per_gpu) for worker in snapshot.workers]
    placed = {session for worker in snapshot.workers for session in worker.leases.values()}
    return {
        "at": round(at, 3),
        "uptime_s": round(uptime_s),
        "status": snapshot.health,
        "used_slots": snapshot.used_slots,
        "total_slots": snapshot.total_slots,
        "serving_gpus": len(snapshot.serving),
        "model": snapshot.model,
        "lag_s": worst_lag_s(gpus),
        "gpus": gpus,
        "elsewhere": [_row(each) for each in snapshot.sessions if each.id not in placed and each.state != "ended"],
    }


def worst_lag_s(gpus: Iterable[JsonObject]) -> float | None:
    """Return the largest lag of all sessions in a slot; None if there is none."""
    rows = [row for gpu in gpus for row in gpu["sessions"] if row["state"] != "arriving"]
    return max((row["lag_s"] for row in rows if row["lag_s"] is not None), default=None)


def _gpu(worker: WorkerSnapshot, sessions: Mapping[str, SessionSnapshot], slots_per_gpu: int) -> JsonObject:
    registration = worker.registration
    return {
        "gpu_id": worker.gpu_id,
        "worker": worker.name,
        "state": worker.state.value,
        "slots": registration.slots if registration else slots_per_gpu,
        "used": worker.used,
        "foreign": worker.foreign,
        "memory_used_gb": in_gb(worker.memory.allocated),
        "memory_total_gb": in_gb(worker.memory.total),
        "utilization_percent": worker.memory.utilization_percent,
        "lag_s": worker.lag_s if worker.used else None,
        "boots": worker.boots,
        "weights": worker.weights,
        "step_s": None if worker.step_median_s is None else round(worker.step_median_s, 3),
        "device": registration.device_name if registration and worker.state is not WorkerState.LOST else None,
        "sessions": [
            _slot(lease, session, sessions.get(session), worker.lag_by_lease_s.get(lease))
            for lease, session in worker.leases.items()
        ],
    }


def _slot(lease: int, session_id: str, session: SessionSnapshot | None, worker_lag_s: float | None) -> JsonObject:
    if session is None or session.lease != lease:
        # The slot is getting ready for a session that is still served elsewhere.
        return {"lease": lease, "id": short_id(session_id), "state": "arriving", "age_s": None, "lag_s": None}
    row = _row(session) | {"lease": lease}
    # The worker's figure is newer: it sends no hypothesis for each stretch of silence that it has decoded.
    return row if worker_lag_s is None else row | {"lag_s": round(worker_lag_s, 2)}


def _row(session: SessionSnapshot) -> JsonObject:
    return {
        "id": short_id(session.id),
        "state": session.state if session.attached or session.state == "parked" else "away",
        "age_s": round(session.age_s),
        "lag_s": round(session.lag_s, 2),
    }

"""Core: the gateway's state at one moment, as ``/monitor`` and ``scripts/status`` show it.

No word of a transcript, no token, and only the beginnings of sessions' names are in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.monitoring.history import short_id
from gateway.monitoring.reports import GB, health_status, lag_s, memory
from gateway.placement.workers import Pool, Worker, WorkerState
from gateway.sessions.send_queue import JsonObject
from shared.messages import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One session as the gateway knows it.

    Attributes:
        id: its whole name.
        state: where it stands, in `gateway.sessions.session`'s words.
        lease: the slot it uses now, if it has one.
        age_s: seconds since its request.
        lag_s: audio received and not decoded, by the gateway's own books.
        attached: whether its client is there.
    """

    id: str
    state: str
    lease: int | None
    age_s: float
    lag_s: float
    attached: bool


def now_body(
    pool: Pool, sessions: Iterable[SessionFacts], *, at: float, uptime_s: float, slots_per_gpu: int
) -> JsonObject:
    """Return the whole state at one moment.

    Args:
        pool: workers and leases.
        sessions: every session that the gateway keeps.
        at: Unix time.
        uptime_s: how long the gateway has run.
        slots_per_gpu: what a worker is expected to serve that has not said it yet.
    """
    facts = {each.id: each for each in sessions}
    total, used = pool.total_slots(), pool.used_slots()
    share = 100.0 * used / total if total else None
    workers = pool.workers()
    gpus = [_gpu(worker, facts, slots_per_gpu) for worker in workers]
    placed = {session for worker in workers for session in worker.leases.values()}
    return {
        "at": round(at, 3),
        "uptime_s": round(uptime_s),
        "status": health_status(share),
        "used_slots": used,
        "total_slots": total,
        "serving_gpus": len(pool.serving()),
        "model": ", ".join(sorted({worker.facts.model for worker in pool.serving() if worker.facts})) or None,
        "lag_s": worst_lag_s(gpus),
        "gpus": gpus,
        "elsewhere": [_row(each) for each in facts.values() if each.id not in placed and each.state != "ended"],
    }


def worst_lag_s(gpus: Iterable[Mapping[str, object]]) -> float | None:
    """Return the largest lag of all sessions in a slot; None if there is none."""
    lags = [
        row["lag_s"]
        for gpu in gpus
        for row in _rows(gpu["sessions"])
        if isinstance(row["lag_s"], float) and row["state"] != "arriving"
    ]
    return max((lag for lag in lags if isinstance(lag, float)), default=None)


def _rows(value: object) -> list[JsonObject]:
    return value if isinstance(value, list) else []


def _gpu(worker: Worker, facts: Mapping[str, SessionFacts], slots_per_gpu: int) -> JsonObject:
    report, beat, about = memory(worker), worker.beat, worker.facts
    behind = {slot.lease: (slot.received - slot.decoded) / SAMPLE_RATE for slot in beat.slots} if beat else {}
    foreign = sum(not slot.ours for slot in beat.slots) if beat else 0
    return {
        "gpu_id": worker.gpu_id,
        "worker": worker.name,
        "state": worker.state.value,
        "slots": about.slots if about else slots_per_gpu,
        "used": worker.used(),
        "foreign": foreign,
        "memory_used_gb": _gb(report.allocated),
        "memory_total_gb": _gb(report.total),
        "utilization_percent": report.utilization_percent,
        "lag_s": lag_s(worker) if worker.used() else None,
        "boots": worker.boots,
        "weights": beat.weights if beat else None,
        "step_s": round(beat.step_median_s, 3) if beat and beat.steps else None,
        "device": about.device_name if about and worker.state is not WorkerState.LOST else None,
        "sessions": [
            _slot(lease, facts.get(session), session, behind.get(lease)) for lease, session in worker.leases.items()
        ],
    }


def _slot(lease: int, facts: SessionFacts | None, session: str, behind_s: float | None) -> JsonObject:
    if facts is None or facts.lease != lease:
        # The slot is made ready for a session that is still served elsewhere.
        return {"lease": lease, "id": short_id(session), "state": "arriving", "age_s": None, "lag_s": None}
    row = _row(facts) | {"lease": lease}
    # The worker sees what it has decoded in silence, of which it does not tell the gateway each time.
    return row if behind_s is None else row | {"lag_s": round(behind_s, 2)}


def _row(facts: SessionFacts) -> JsonObject:
    return {
        "id": short_id(facts.id),
        "state": facts.state if facts.attached or facts.state == "parked" else "away",
        "age_s": round(facts.age_s),
        "lag_s": round(facts.lag_s, 2),
    }


def _gb(value: int | None) -> float | None:
    return None if value is None else round(value / GB, 2)

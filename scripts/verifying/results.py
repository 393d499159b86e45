"""JSON with everything (core)."""

import json
from dataclasses import asdict

from .evidence import Evidence, Visit
from .judging import good
from .look import Look
from .rows import Row, Verdict


def render(about: dict[str, object], rows: tuple[Row, ...], seen: Evidence | None) -> str:
    """Return the whole result as JSON.

    Args:
        about: facts of this run.
        rows: what is judged.
        seen: what it is judged from.
    """
    body: dict[str, object] = {
        **about,
        "passed": bool(rows) and good(rows),
        "checks": [
            {
                "name": row.name,
                "title": row.title,
                "expected": row.expected,
                "measured": row.measured or None,
                "verdict": _VERDICTS[row.verdict],
            }
            for row in rows
        ],
    }
    if seen is not None:
        body["plan"] = {**asdict(seen.plan), "total": seen.plan.total, "room": seen.plan.room}
        body["floor_ms"] = round(seen.floor_ms, 2)
        body["server_setup_ms"] = seen.server_setup_ms
        body["memory_returned_after_s"] = seen.waited_s
        body["sessions"] = [_visit(visit) for _, visit in sorted(seen.visits.items())]
        stages = ("idle", "single", "spread", "full", "crowded", "speaking", "released")
        body["looks"] = {stage: _look(getattr(seen, stage)) for stage in stages}
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


_VERDICTS = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.OPEN: "not_made", Verdict.NONE: "cannot_be_made"}


def _visit(visit: Visit) -> dict[str, object]:
    return {**asdict(visit), "act": visit.act.value}


def _look(look: Look | None) -> dict[str, object] | None:
    if look is None:
        return None
    gpus = [
        {"gpu_id": gpu.gpu_id, "serving": gpu.serving, "sessions": gpu.sessions, "slots": gpu.slots}
        | {"memory_gb": gpu.memory_gb, "weights": gpu.weights}
        for gpu in look.gpus
    ]
    return {"gpus": gpus, "health": look.health, "share_percent": look.share_percent, "waiting": look.waiting}

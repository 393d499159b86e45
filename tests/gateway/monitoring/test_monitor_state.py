"""``/monitor/state``: every figure at one moment, and no session's full name."""

import json

import pytest

from gateway.monitoring.history import short_id
from gateway.monitoring.monitor_state import monitor_state
from gateway.monitoring.snapshot import SessionSnapshot, take_snapshot
from gateway.placement.workers import WorkerRegistry
from shared.messages import MemoryReport, SlotReport
from tests.gateway.builders import GIB, S, heartbeat, register

ID = "0b9ae14c-55b2-4c3a-9d52-aaaaaaaaaaaa"
OTHER = "f8d2c0de-1111-4222-8333-bbbbbbbbbbbb"


def session_snapshot(name=ID, *, state="ready", lease=1, age_s=12.4, lag_s=0.5, attached=True) -> SessionSnapshot:
    return SessionSnapshot(id=name, state=state, lease=lease, age_s=age_s, lag_s=lag_s, attached=attached)


def state_of(registry, *sessions):
    return monitor_state(take_snapshot(registry, sessions), at=1000.0004, uptime_s=7.6, slots_per_gpu=4)


def serve(registry, gpu_id, *slots, memory=None, state="serving", boot="a"):
    identity = f"gpu{gpu_id}.{boot}".encode()
    registry.register(identity, register(gpu_id, slots=2, boot=boot), 0.0)
    registry.heartbeat(identity, heartbeat(*slots, memory=memory, state=state), 0.0)


@pytest.fixture
def registry():
    """Give two workers of two slots; the first has a session in each, one of them another gateway's."""
    registry = WorkerRegistry(range(2), lost_after_s=2.0)
    serve(registry, 0)
    serve(registry, 1)
    assert registry.acquire(ID, 0.0).id == 1
    memory = MemoryReport(16 * GIB, 4 * GIB, 12 * GIB, 11 * GIB, 37.0)
    mine = SlotReport(1, ID, ours=True, received=3 * S, decoded=2 * S)
    foreign = SlotReport(9, OTHER, ours=False, received=9 * S, decoded=0)
    registry.heartbeat(b"gpu0.a", heartbeat(mine, foreign, memory=memory), 0.0)
    return registry


def test_every_figure_is_the_registrys_and_the_workers(registry):
    """GPUs and their sessions, as the monitor page draws them."""
    seen = state_of(registry, session_snapshot())
    assert (seen["status"], seen["used_slots"], seen["total_slots"]) == ("healthy", 2, 4)
    assert (seen["at"], seen["uptime_s"], seen["serving_gpus"], seen["model"]) == (1000.0, 8, 2, "scripted")
    first, second = seen["gpus"]
    assert (first["used"], first["slots"], first["foreign"], first["boots"]) == (2, 2, 1, 1)
    assert (first["memory_used_gb"], first["memory_total_gb"], first["utilization_percent"]) == (4.0, 16.0, 37.0)
    assert first["sessions"] == [{"lease": 1, "id": "0b9ae14c", "state": "ready", "age_s": 12, "lag_s": 1.0}]
    assert (second["used"], second["sessions"], second["lag_s"], second["memory_used_gb"]) == (0, [], None, None)
    assert seen["lag_s"] == 1.0
    assert seen["elsewhere"] == []


def test_session_ids_are_shortened(registry):
    """A session's whole id would let others find it in the logs; only its beginning is shown."""
    waiting = session_snapshot(OTHER, state="waiting", lease=None)
    text = json.dumps(state_of(registry, session_snapshot(), waiting), allow_nan=False)
    assert short_id(ID) in text
    assert short_id(OTHER) in text
    assert ID not in text
    assert OTHER not in text


def test_a_prepared_slot_is_arriving(registry):
    """A session that migrates is in its old slot, and arriving in its new one."""
    assert registry.acquire(ID, 0.0).worker == "gpu1"
    first, second = state_of(registry, session_snapshot())["gpus"]
    assert [row["state"] for row in first["sessions"]] == ["ready"]
    assert [(row["id"], row["state"], row["lag_s"]) for row in second["sessions"]] == [("0b9ae14c", "arriving", None)]


@pytest.mark.parametrize(
    ("session", "state"),
    [
        (session_snapshot(OTHER, state="waiting", lease=None), "waiting"),
        (session_snapshot(OTHER, state="parked", lease=None, attached=False), "parked"),
        (session_snapshot(OTHER, state="waiting", lease=None, attached=False), "away"),
    ],
)
def test_sessions_without_a_slot(registry, session, state):
    """Sessions that wait for a slot, or for their client, are listed apart with the gateway's figures."""
    assert state_of(registry, session_snapshot(), session)["elsewhere"] == [
        {"id": "f8d2c0de", "state": state, "age_s": 12, "lag_s": 0.5}
    ]


def test_an_ended_session_is_not_listed(registry):
    """It only waits until its grace is over."""
    assert state_of(registry, session_snapshot(), session_snapshot(OTHER, state="ended", lease=None))["elsewhere"] == []


def test_a_lost_worker_is_still_listed(registry):
    """With its slots and without figures; its sessions are elsewhere."""
    registry.mark_lost(b"gpu0.a", "killed")
    seen = state_of(registry, session_snapshot(state="waiting", lease=None))
    lost = seen["gpus"][0]
    assert (lost["state"], lost["slots"], lost["used"], lost["sessions"]) == ("lost", 2, 0, [])
    assert {lost[key] for key in ("memory_used_gb", "utilization_percent", "lag_s", "weights", "step_s")} == {None}
    assert (seen["total_slots"], seen["serving_gpus"]) == (2, 1)
    assert [row["id"] for row in seen["elsewhere"]] == ["0b9ae14c"]


def test_figures_are_null_before_the_first_worker():
    """The expected workers are listed with the expected slots, and the status is critical."""
    seen = state_of(WorkerRegistry(range(3), lost_after_s=2.0))
    assert (seen["status"], seen["total_slots"], seen["model"], seen["lag_s"]) == ("critical", 0, None, None)
    assert [(gpu["state"], gpu["slots"], gpu["boots"]) for gpu in seen["gpus"]] == [("expected", 4, 0)] * 3

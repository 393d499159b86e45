"""What the wall shows: the state at one moment, the last ten minutes, the last events; bounded, and nothing private."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitoring.history import (
    BUCKET_S,
    BUCKETS,
    EVENTS,
    JOINED_S,
    MAX_SETUPS,
    EventLog,
    RollingHistory,
    short_id,
)
from gateway.monitoring.monitor_state import monitor_state
from gateway.monitoring.snapshot import SessionSnapshot, take_snapshot
from gateway.placement.workers import WorkerRegistry
from shared.messages import MemoryReport, SlotReport
from tests.gateway.builders import GIB, S, heartbeat, register

ID = "0b9ae14c-55b2-4c3a-9d52-aaaaaaaaaaaa"
OTHER = "f8d2c0de-1111-4222-8333-bbbbbbbbbbbb"


def facts(name=ID, *, state="ready", lease=1, age_s=12.4, lag_s=0.5, attached=True) -> SessionSnapshot:
    return SessionSnapshot(id=name, state=state, lease=lease, age_s=age_s, lag_s=lag_s, attached=attached)


def body(registry, *sessions):
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


def test_a_moment(registry):
    """Every figure of a tile and of a row is the pool's and the worker's own."""
    seen = body(registry, facts())
    assert (seen["status"], seen["used_slots"], seen["total_slots"]) == ("healthy", 2, 4)
    assert (seen["at"], seen["uptime_s"], seen["serving_gpus"], seen["model"]) == (1000.0, 8, 2, "scripted")
    first, second = seen["gpus"]
    assert (first["used"], first["slots"], first["foreign"], first["boots"]) == (2, 2, 1, 1)
    assert (first["memory_used_gb"], first["memory_total_gb"], first["utilization_percent"]) == (4.0, 16.0, 37.0)
    assert first["sessions"] == [{"lease": 1, "id": "0b9ae14c", "state": "ready", "age_s": 12, "lag_s": 1.0}]
    assert (second["used"], second["sessions"], second["lag_s"], second["memory_used_gb"]) == (0, [], None, None)
    assert seen["lag_s"] == 1.0
    assert seen["elsewhere"] == []


def test_nobody_is_named_in_full(registry):
    """A session's whole id would let others find it in the logs; only its beginning is shown."""
    waiting = facts(OTHER, state="waiting", lease=None)
    text = json.dumps(body(registry, facts(), waiting), allow_nan=False)
    assert short_id(ID) in text
    assert short_id(OTHER) in text
    assert ID not in text
    assert OTHER not in text


def test_a_slot_that_is_made_ready_is_no_second_session(registry):
    """While a session is handed over it is in its old slot, and arriving in its new one."""
    assert registry.acquire(ID, 0.0).worker == "gpu1"
    first, second = body(registry, facts())["gpus"]
    assert [row["state"] for row in first["sessions"]] == ["ready"]
    assert [(row["id"], row["state"], row["lag_s"]) for row in second["sessions"]] == [("0b9ae14c", "arriving", None)]


@pytest.mark.parametrize(
    ("session", "state"),
    [
        (facts(OTHER, state="waiting", lease=None), "waiting"),
        (facts(OTHER, state="parked", lease=None, attached=False), "parked"),
        (facts(OTHER, state="waiting", lease=None, attached=False), "away"),
    ],
)
def test_sessions_without_a_slot(registry, session, state):
    """Who waits for a slot, or for its client, is listed apart with its lag by the gateway's books."""
    assert body(registry, facts(), session)["elsewhere"] == [
        {"id": "f8d2c0de", "state": state, "age_s": 12, "lag_s": 0.5}
    ]


def test_an_ended_session_is_nowhere(registry):
    """A session that is over and waits only to be forgotten takes no place."""
    assert body(registry, facts(), facts(OTHER, state="ended", lease=None))["elsewhere"] == []


def test_a_lost_worker_keeps_its_tile(registry):
    """Its slots are still drawn, its figures are unknown, and its sessions are elsewhere."""
    registry.mark_lost(b"gpu0.a", "killed")
    seen = body(registry, facts(state="waiting", lease=None))
    lost = seen["gpus"][0]
    assert (lost["state"], lost["slots"], lost["used"], lost["sessions"]) == ("lost", 2, 0, [])
    assert {lost[key] for key in ("memory_used_gb", "utilization_percent", "lag_s", "weights", "step_s")} == {None}
    assert (seen["total_slots"], seen["serving_gpus"]) == (2, 1)
    assert [row["id"] for row in seen["elsewhere"]] == ["0b9ae14c"]


def test_nothing_is_invented_before_the_first_worker():
    """A gateway that has just started has tiles of the expected size, unknown figures, and is critical."""
    seen = body(WorkerRegistry(range(3), lost_after_s=2.0))
    assert (seen["status"], seen["total_slots"], seen["model"], seen["lag_s"]) == ("critical", 0, None, None)
    assert [(gpu["state"], gpu["slots"], gpu["boots"]) for gpu in seen["gpus"]] == [("expected", 4, 0)] * 3


def test_a_stretch_keeps_its_worst():
    """Within five seconds the worst lag, the slowest setup and the fullest moment count."""
    history = RollingHistory()
    history.setup(100.0, 40.0)
    history.setup(100.0, 900.04)
    history.refused(100.0)
    for now, used, lag_s in ((100.0, 3, 0.5), (101.0, 5, 2.25), (104.9, 1, None), (105.0, 0, None)):
        history.sampled(now, used=used, lag_s=lag_s)
    seen = history.body(106.0)
    assert (seen["used"][-2:], seen["lag_s"][-2:], seen["setup_ms"][-2:]) == ([5, 0], [2.25, None], [900.0, None])
    assert (seen["setups"], seen["refused"], seen["setup_median_ms"], seen["setup_slowest_ms"]) == (2, 1, 40.0, 900.0)
    assert {len(seen[key]) for key in ("used", "lag_s", "setup_ms")} == {BUCKETS}


def test_ten_minutes_are_forgotten_in_time():
    """What is older than the chart's left edge counts in no figure any more, also when nothing new comes."""
    history = RollingHistory()
    history.setup(0.0, 1234.0)
    history.sampled(0.0, used=4, lag_s=1.0)
    last = BUCKETS * BUCKET_S - 0.1
    assert (history.body(last)["used"][0], history.body(last)["setup_median_ms"]) == (4, 1234.0)
    gone = history.body(BUCKETS * BUCKET_S)
    assert set(gone["used"]) == set(gone["lag_s"]) == set(gone["setup_ms"]) == {None}
    assert (gone["setups"], gone["setup_median_ms"], gone["setup_slowest_ms"]) == (0, None, None)


@given(st.lists(st.tuples(st.floats(0, 400), st.sampled_from(["sample", "setup", "refused"]), st.floats(0, 1e6))))
def test_the_history_is_bounded(steps):
    """Whatever comes whenever, there are so many stretches and no more, in order, and the figures are among those seen."""
    history, now = RollingHistory(), 0.0
    for wait, what, value in steps:
        now += wait
        if what == "sample":
            history.sampled(now, used=3, lag_s=value)
        elif what == "setup":
            history.setup(now, value)
        else:
            history.refused(now)
        history.check()
    seen = history.body(now)
    json.dumps(seen, allow_nan=False)
    assert {len(seen[key]) for key in ("used", "lag_s", "setup_ms")} == {BUCKETS}
    shown = {round(value, 1) for _, what, value in steps if what == "setup"}
    assert {each for each in seen["setup_ms"] if each is not None} <= shown
    assert seen["setups"] <= sum(what == "setup" for _, what, _ in steps)


def test_a_flood_of_setups_is_bounded():
    """A thousand setups are kept for the median, not all there ever were."""
    history = RollingHistory()
    for number in range(2 * MAX_SETUPS):
        history.setup(1.0, float(number))
    assert len(history._setups) == MAX_SETUPS
    assert history.body(1.0)["setups"] == 2 * MAX_SETUPS


def test_events_are_newest_first_and_plain():
    """An event has what it has and nothing else, a session's id is cut, the newest stands first."""
    events = EventLog()
    events.note(10.00049, "allocated", session=ID, gpu_id=2)
    events.note(11.0, "lost", gpu_id=2, detail="silent for 2.1 s")
    assert events.body() == [
        {"id": 2, "at": 11.0, "kind": "lost", "gpu_id": 2, "detail": "silent for 2.1 s", "count": 1},
        {"id": 1, "at": 10.0, "kind": "allocated", "session": "0b9ae14c", "gpu_id": 2, "count": 1},
    ]


def test_a_flood_of_refusals_hides_nothing():
    """Refusals of one kind within a minute are one event with a count, which comes first again each time."""
    events = EventLog()
    events.note(0.0, "lost", gpu_id=1)
    for second in range(200):
        events.note(float(second % 50), "refused", session=ID, detail="no_capacity")
    events.note(50.0, "refused", session=OTHER, detail="bad_token")
    assert [(each["kind"], each["count"]) for each in events.body()] == [("refused", 1), ("refused", 200), ("lost", 1)]
    before = events.version
    events.note(55.0, "refused", session=ID, detail="no_capacity")
    assert events.version != before
    assert events.body()[0]["count"] == 201
    events.note(55.0 + JOINED_S, "refused", session=ID, detail="no_capacity")
    assert [each["count"] for each in events.body()] == [1, 201, 1, 1]


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["allocated", "refused", "lost"]), st.sampled_from("ab"))))
def test_events_are_bounded(steps):
    """Whatever happens, so many events are kept and no more, and each change changes the version."""
    events, now = EventLog(), 0.0
    versions = [events.version]
    for wait, kind, detail in steps:
        now += wait
        events.note(now, kind, detail=detail)
        events.check()
        versions.append(events.version)
    assert len(events.body()) <= EVENTS
    assert len(set(versions)) == len(steps) + 1

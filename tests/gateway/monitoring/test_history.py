"""The last ten minutes and the last events, in bounded memory."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.monitoring.history import BUCKET_S, BUCKETS, EVENTS, JOINED_S, MAX_SETUPS, EventLog, RollingHistory

ID = "0b9ae14c-55b2-4c3a-9d52-aaaaaaaaaaaa"
OTHER = "f8d2c0de-1111-4222-8333-bbbbbbbbbbbb"


def test_a_bucket_keeps_its_worst():
    """Of five seconds the largest lag, the slowest setup and the most used slots are kept."""
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


def test_figures_older_than_ten_minutes_are_dropped():
    """Also when nothing new comes."""
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
    """Whatever comes when, there is a fixed number of buckets, and their figures are among those seen."""
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


def test_setups_kept_for_the_median_are_bounded():
    """All are counted, the newest are kept."""
    history = RollingHistory()
    for number in range(2 * MAX_SETUPS):
        history.setup(1.0, float(number))
    assert len(history._setups) == MAX_SETUPS
    assert history.body(1.0)["setups"] == 2 * MAX_SETUPS


def test_events_are_newest_first():
    """An event has no empty keys, and a session's id is shortened."""
    events = EventLog()
    events.note(10.00049, "allocated", session=ID, gpu_id=2)
    events.note(11.0, "lost", gpu_id=2, detail="silent for 2.1 s")
    assert events.body() == [
        {"id": 2, "at": 11.0, "kind": "lost", "gpu_id": 2, "detail": "silent for 2.1 s", "count": 1},
        {"id": 1, "at": 10.0, "kind": "allocated", "session": "0b9ae14c", "gpu_id": 2, "count": 1},
    ]


def test_refusals_are_counted_in_one_event():
    """Those of one kind within a minute; the event becomes the newest again each time."""
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
    """A fixed number is kept, and each change changes the version."""
    events, now = EventLog(), 0.0
    versions = [events.version]
    for wait, kind, detail in steps:
        now += wait
        events.note(now, kind, detail=detail)
        events.check()
        versions.append(events.version)
    assert len(events.body()) <= EVENTS
    assert len(set(versions)) == len(steps) + 1

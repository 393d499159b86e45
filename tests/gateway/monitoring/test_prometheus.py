"""Our metrics beside the guide's: what is counted, where, and that they stay few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.monitoring.prometheus import PrometheusView
from gateway.monitoring.snapshot import Queues, SessionSnapshot, take_snapshot
from gateway.monitoring.statistics import Statistics
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.arrival_times import RESOLUTION, ArrivalTimes
from shared.errors import SessionError
from shared.histogram import Histogram, Histograms
from shared.messages import HistogramCounts, MemoryReport, SlotReport
from tests.gateway.builders import GIB, S, heartbeat, ready, register


def read(registry, statistics, queues=None, sessions=()) -> dict:
    """Return every sample by its name and the values of its labels, in the order of their names."""
    metrics = CollectorRegistry()
    metrics.register(PrometheusView(lambda: take_snapshot(registry, sessions), statistics, queues))
    families = text_string_to_metric_families(generate_latest(metrics).decode())
    return {
        (each.name, *(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


@pytest.fixture
def registry():
    """Give a worker with two of our sessions and a foreign one, and one that never came."""
    registry = WorkerRegistry(range(2), lost_after_s=2.0)
    registry.register(b"gpu0", register(0, slots=4), 0.0)
    report = MemoryReport(16 * GIB, 4 * GIB, 12 * GIB, 11 * GIB, 45.0)
    slots = (SlotReport(1, "x", ours=False, received=0, decoded=0),)
    registry.heartbeat(b"gpu0", heartbeat(*slots, memory=report), 0.0)
    for name in ("a", "b"):
        registry.acquire(name, 0.0)
    return registry


def test_a_histogram_counts_values_at_or_below_each_bound():
    """A value on a bound counts in it; larger ones than all bounds count in +Inf alone."""
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.2, 1.0, 7.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 1.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert (histogram.count, histogram.sum) == (4, pytest.approx(8.3))
    histogram.check()


@given(st.lists(st.floats(0, 100)), st.sets(st.floats(0, 100), min_size=1))
def test_buckets_hold_what_a_plain_count_says(values, bounds):
    """For any values and bounds each bucket has the values that are not larger."""
    histogram = Histogram(sorted(bounds))
    for value in values:
        histogram.observe(value)
    histogram.check()
    for name, count in histogram.buckets():
        assert count == sum(value <= float(name) for value in values)


def test_labels_that_are_known_are_there_before_their_first_value():
    """Else the first observation would be no increase to Prometheus."""
    histograms = Histograms((1.0,), ("accept",))
    histograms.of("load").observe(0.5)
    assert {label: each.count for label, each in histograms} == {"accept": 0, "load": 1}


def test_the_age_of_audio_is_that_of_the_part_in_which_it_came():
    """Each position is as old as the message that brought its last sample; unknown ones have no age."""
    arrivals = ArrivalTimes()
    arrivals.note(S, 1.0)
    arrivals.note(3 * S, 2.5)
    assert arrivals.age_s(S, 5.0) == 4.0
    assert arrivals.age_s(S + 1, 5.0) == 2.5
    assert arrivals.age_s(3 * S, 5.0) == 2.5
    assert arrivals.age_s(3 * S + 1, 5.0) is None
    assert arrivals.age_s(0, 5.0) is None


def test_forgotten_audio_has_no_age_and_no_cost():
    """What the journal has given up is forgotten, the rest keeps its time."""
    arrivals = ArrivalTimes()
    for second in range(1, 61):
        arrivals.note(second * S, float(second))
    arrivals.forget(58 * S)
    assert len(arrivals) == 3
    assert arrivals.age_s(57 * S, 60.0) is None
    assert arrivals.age_s(59 * S, 60.0) == 1.0
    arrivals.check()


def test_tiny_messages_are_joined_but_not_across_a_pause():
    """A client that sends sample by sample costs one mark in 20 ms; after a pause audio is as old as it is."""
    arrivals = ArrivalTimes()
    for end in range(1, RESOLUTION + 1):
        arrivals.note(end, 1.0 + end / S)
    assert len(arrivals) == 1
    arrivals.note(RESOLUTION + 1, 2.0)
    arrivals.note(2 * S, 9.0)
    assert arrivals.age_s(2 * S, 9.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1), st.booleans()), max_size=60))
def test_an_age_is_never_understated(steps):
    """However audio comes and is forgotten, a position's age is that of its own message or a little more."""
    arrivals, truth, end, now = ArrivalTimes(), {}, 0, 0.0
    for size, pause_s, forgets in steps:
        now += pause_s
        end += size
        arrivals.note(end, now)
        if size:
            truth[end] = now
        if forgets:
            arrivals.forget(end // 2)
            truth = {position: at for position, at in truth.items() if position > end // 2}
        arrivals.check()
    for position, at in truth.items():
        assert arrivals.age_s(position, now + 1.0) >= now + 1.0 - at - 1e-9


def test_base_units_and_slots_by_state(registry):
    """Memory is in bytes, load a ratio; a slot is ours, another gateway's, or free; a worker that never came has no figures."""
    found = read(registry, Statistics())
    assert found["whisperlivekit_gpu_memory_used_bytes", "0"] == 4 * GIB
    assert found["whisperlivekit_gpu_memory_total_bytes", "0"] == 16 * GIB
    assert found["whisperlivekit_gpu_memory_available_bytes", "0"] == 11 * GIB
    assert found["whisperlivekit_gpu_utilization_ratio", "0"] == 0.45
    assert found["whisperlivekit_weights_on_device", "0"] == 1.0
    states = {key[1:]: value for key, value in found.items() if key[0] == "whisperlivekit_slots_in_state"}
    assert states == {
        ("0", "used"): 2, ("0", "foreign"): 1, ("0", "free"): 1,
        ("1", "used"): 0, ("1", "foreign"): 0, ("1", "free"): 0,
    }  # fmt: skip
    assert found["whisperlivekit_worker_up", "1"] == 0
    assert ("whisperlivekit_gpu_memory_used_bytes", "1") not in found


def test_setup_is_counted_by_stage(registry):
    """Each setup counts in all four stages, in seconds."""
    statistics = Statistics()
    statistics.observe(ready(2.0, 1.0, 2347.0, 2350.0, 0, 1.0))
    found = read(registry, statistics)
    sums = {
        stage: found["whisperlivekit_setup_seconds_sum", stage] for stage in ("accept", "allocate", "load", "total")
    }
    assert sums == pytest.approx({"accept": 0.002, "allocate": 0.001, "load": 2.347, "total": 2.35})
    assert found["whisperlivekit_setup_seconds_bucket", "2.0", "total"] == 0
    assert found["whisperlivekit_setup_seconds_bucket", "3.0", "total"] == 1
    assert found["whisperlivekit_setup_seconds_bucket", "+Inf", "total"] == 1


def test_what_may_be_counted_starts_at_nought(registry):
    """The first refusal, move or latency is an increase: its counter was there before."""
    found = read(registry, Statistics())
    assert found["whisperlivekit_sessions_total", "no_capacity"] == 0
    assert found["whisperlivekit_moves_total", "worker_lost"] == 0
    assert found["whisperlivekit_audio_seconds_total", "transcribed"] == 0
    assert found["whisperlivekit_commit_latency_seconds_count", "1"] == 0
    assert found["whisperlivekit_gateway_loop_lag_seconds_count",] == 0
    assert found["whisperlivekit_first_word_latency_seconds_count", "0"] == 0
    assert found["whisperlivekit_step_seconds_count", "1"] == found["whisperlivekit_steps_total", "1"] == 0
    for error in SessionError.__subclasses__():
        assert found["whisperlivekit_sessions_total", error.code] == 0
        assert found["whisperlivekit_audio_dropped_seconds_total", error.code] == 0


def test_a_workers_next_life_counts_on():
    """Steps and batches only grow, whether a worker goes on, starts anew, or another has its number."""
    statistics, first, second = Statistics(), (0.15, 0.15, 40.0), (0.4,)
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first[:1], batches=(1,)))
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first, batches=(1, 3, 4)))
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first, batches=(1, 3, 4)))
    statistics.steps.note("gpu0", "b", 0, heartbeat(step_s=second, batches=(2,)))
    statistics.steps.note("other", "c", 0, heartbeat(step_s=second, batches=(100,)))
    found = read(WorkerRegistry(range(1), lost_after_s=2.0), statistics)
    assert found["whisperlivekit_steps_total", "0"] == found["whisperlivekit_step_seconds_count", "0"] == 5
    assert found["whisperlivekit_step_seconds_sum", "0"] == pytest.approx(41.1)
    assert found["whisperlivekit_step_seconds_bucket", "0", "0.2"] == 2
    assert found["whisperlivekit_step_seconds_bucket", "0", "10.0"] == 4
    assert found["whisperlivekit_step_batch_streams_sum", "0"] == 110
    assert found["whisperlivekit_step_batch_streams_bucket", "0", "4.0"] == 4


@pytest.mark.parametrize(
    ("before", "after"),
    [(HistogramCounts((1, 2), 1.0), HistogramCounts((1, 1), 1.0)), (None, HistogramCounts((1, 2, 3), 1.0)), (None, HistogramCounts((), 0.0)), (HistogramCounts((1, 2), 2.0), HistogramCounts((1, 2), 1.0))],
)  # fmt: skip
def test_counts_that_make_no_sense_are_not_added(before, after):
    """Other bounds, or a count that falls within one life, leave a histogram as it was."""
    histogram = Histogram((1.0,))
    histogram.observe(0.5)
    with pytest.raises(ValueError, match="count"):
        histogram.grow(before, after)
    assert histogram.tally() == HistogramCounts((1, 0), 0.5)


def test_received_audio_is_counted_while_sessions_last(registry):
    """What open sessions have received is in the total before they end."""
    statistics = Statistics()
    statistics.samples["received"] = 3 * S
    session = SessionSnapshot(id="a", state="ready", lease=1, age_s=5.0, lag_s=0.0, received=4 * S, attached=True)
    found = read(registry, statistics, sessions=(session,))
    assert found["whisperlivekit_audio_received_seconds_total",] == 7.0
    assert found["whisperlivekit_audio_seconds_total", "received"] == 3.0


def test_what_waits_is_shown(registry):
    """Sessions by state without the ended ones, the line, unsent messages, the journals in seconds."""
    queues = Queues({"ready": 2, "parked": 1, "ended": 5}, waiting=3, unsent=7, journal=4 * S, held_back=1, malformed=2)
    found = read(registry, Statistics(), lambda: queues)
    assert found["whisperlivekit_sessions_open", "ready"] == 2
    assert ("whisperlivekit_sessions_open", "ended") not in found
    assert found["whisperlivekit_waiting_line_sessions",] == 3
    assert found["whisperlivekit_outbox_messages",] == 7
    assert found["whisperlivekit_journal_audio_seconds",] == 4.0
    assert found["whisperlivekit_held_back_sessions",] == 1
    assert found["whisperlivekit_worker_noise_total",] == 2

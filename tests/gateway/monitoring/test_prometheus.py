"""Our metrics beside the guide's."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.monitoring.prometheus import PrometheusView
from gateway.monitoring.snapshot import Queues, SessionSnapshot, take_snapshot
from gateway.monitoring.statistics import Statistics
from gateway.placement.workers import WorkerRegistry
from shared.errors import SessionError
from shared.messages import MemoryReport, SlotReport
from tests.gateway.builders import GIB, S, heartbeat, ready, register
from tests.gateway.readers import read_samples


def read(registry, statistics, queues=None, sessions=()) -> dict:
    metrics = CollectorRegistry()
    metrics.register(PrometheusView(lambda: take_snapshot(registry, sessions), statistics, queues))
    return read_samples(generate_latest(metrics).decode())


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


def test_base_units_and_slots_by_state(registry):
    """Memory is in bytes, load a ratio; a slot is ours, another gateway's, or free; a worker that never came has no figures."""
    found = read(registry, Statistics())
    assert found["gpu_memory_used_bytes", "0"] == 4 * GIB
    assert found["gpu_memory_total_bytes", "0"] == 16 * GIB
    assert found["gpu_memory_available_bytes", "0"] == 11 * GIB
    assert found["gpu_utilization_ratio", "0"] == 0.45
    assert found["weights_on_device", "0"] == 1.0
    states = {key[1:]: value for key, value in found.items() if key[0] == "slots_in_state"}
    assert states == {
        ("0", "used"): 2, ("0", "foreign"): 1, ("0", "free"): 1,
        ("1", "used"): 0, ("1", "foreign"): 0, ("1", "free"): 0,
    }  # fmt: skip
    assert found["worker_up", "1"] == 0
    assert ("gpu_memory_used_bytes", "1") not in found


def test_setup_is_counted_by_stage(registry):
    """Each setup counts in all four stages, in seconds."""
    statistics = Statistics()
    statistics.observe(ready(2.0, 1.0, 2347.0, 2350.0, 0, 1.0))
    found = read(registry, statistics)
    sums = {stage: found["setup_seconds_sum", stage] for stage in ("accept", "allocate", "load", "total")}
    assert sums == pytest.approx({"accept": 0.002, "allocate": 0.001, "load": 2.347, "total": 2.35})
    assert found["setup_seconds_bucket", "2.0", "total"] == 0
    assert found["setup_seconds_bucket", "3.0", "total"] == 1
    assert found["setup_seconds_bucket", "+Inf", "total"] == 1


def test_counters_start_at_zero(registry):
    """So the first refusal, migration or latency is an increase."""
    found = read(registry, Statistics())
    assert found["sessions_total", "no_capacity"] == 0
    assert found["moves_total", "worker_lost"] == 0
    assert found["audio_seconds_total", "transcribed"] == 0
    assert found["commit_latency_seconds_count", "1"] == 0
    assert found["gateway_loop_lag_seconds_count",] == 0
    assert found["first_word_latency_seconds_count", "0"] == 0
    assert found["step_seconds_count", "1"] == found["steps_total", "1"] == 0
    for error in SessionError.__subclasses__():
        assert found["sessions_total", error.code] == 0
        assert found["audio_dropped_seconds_total", error.code] == 0


def test_a_restarted_workers_steps_are_added():
    """Steps and batches only grow, whether a worker goes on, starts anew, or another has its number."""
    statistics, first, second = Statistics(), (0.15, 0.15, 40.0), (0.4,)
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first[:1], batches=(1,)))
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first, batches=(1, 3, 4)))
    statistics.steps.note("gpu0", "a", 0, heartbeat(step_s=first, batches=(1, 3, 4)))
    statistics.steps.note("gpu0", "b", 0, heartbeat(step_s=second, batches=(2,)))
    statistics.steps.note("other", "c", 0, heartbeat(step_s=second, batches=(100,)))
    found = read(WorkerRegistry(range(1), lost_after_s=2.0), statistics)
    assert found["steps_total", "0"] == found["step_seconds_count", "0"] == 5
    assert found["step_seconds_sum", "0"] == pytest.approx(41.1)
    assert found["step_seconds_bucket", "0", "0.2"] == 2
    assert found["step_seconds_bucket", "0", "10.0"] == 4
    assert found["step_batch_streams_sum", "0"] == 110
    assert found["step_batch_streams_bucket", "0", "4.0"] == 4


def test_received_audio_of_open_sessions_is_counted(registry):
    """What open sessions have received is in the total before they end."""
    statistics = Statistics()
    statistics.samples["received"] = 3 * S
    session = SessionSnapshot(id="a", state="ready", lease=1, age_s=5.0, lag_s=0.0, received=4 * S, attached=True)
    found = read(registry, statistics, sessions=(session,))
    assert found["audio_received_seconds_total",] == 7.0
    assert found["audio_seconds_total", "received"] == 3.0


def test_queues_are_gauges(registry):
    """Sessions by state without the ended ones, the line, unsent messages, the journals in seconds."""
    queues = Queues({"ready": 2, "parked": 1, "ended": 5}, waiting=3, unsent=7, journal=4 * S, held_back=1, malformed=2)
    found = read(registry, Statistics(), lambda: queues)
    assert found["sessions_open", "ready"] == 2
    assert ("sessions_open", "ended") not in found
    assert found["waiting_line_sessions",] == 3
    assert found["outbox_messages",] == 7
    assert found["journal_audio_seconds",] == 4.0
    assert found["held_back_sessions",] == 1
    assert found["worker_noise_total",] == 2

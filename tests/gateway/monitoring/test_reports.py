"""The guide's endpoints: the four bodies key by key, its thresholds, its metric names; what is unknown is null."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.monitoring import reports
from gateway.monitoring.prometheus import PrometheusView
from gateway.monitoring.snapshot import take_snapshot
from gateway.monitoring.statistics import Statistics
from gateway.placement.events import StepTaken
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.arrival_times import ArrivalTimes
from gateway.sessions.commands import SessionAccounting
from shared.messages import MemoryReport, SlotReport
from tests.gateway.builders import GIB, S, closed, heartbeat, hypothesis, ready, register, word

GPU_STATUS = {
    "total_gpus": int,
    "total_connections": int,
    "max_connections_per_gpu": int,
    "gpus": [
        {"gpu_id": int, "active_connections": int, "connection_ids": [str]}
        | dict.fromkeys(("total_memory_gb", "allocated_memory_gb", "free_memory_gb", "utilization_percent"), float)
    ],
}
PERFORMANCE = {
    "total_completed_connections": int,
    "active_connections": int,
    "averages": {
        "setup_time_ms": float,
        "connection_duration_s": float,
        "audio_chunks_per_connection": float,
        "transcriptions_per_connection": float,
    },
    "extremes": {"slowest_setup_ms": float, "fastest_setup_ms": float},
}
HEALTH = {
    "status": str,
    "timestamp": float,
    "capacity": {"total_slots": int, "used_slots": int, "available_slots": int, "utilization_percent": float},
    "gpus": {"total": int, "with_connections": int},
    "performance": PERFORMANCE,
}
METRICS = {
    "whisperlivekit_gpu_total",
    "whisperlivekit_connections_active",
    "whisperlivekit_gpu_memory_allocated_gb",
    "whisperlivekit_setup_time_ms_avg",
}


def assert_shape(body, golden, where="", *, nullable=False) -> None:
    """Assert that the body has every golden key with a value of its type, however deep; it may have more."""
    if isinstance(golden, dict):
        assert isinstance(body, dict), where
        for key, inner in golden.items():
            assert key in body, f"{where}.{key} is missing"
            assert_shape(body[key], inner, f"{where}.{key}", nullable=nullable)
    elif isinstance(golden, list):
        assert isinstance(body, list), where
        assert body or nullable, f"{where} is empty"
        for item in body:
            assert_shape(item, golden[0], f"{where}[]", nullable=nullable)
    else:
        assert type(body) is golden or (nullable and body is None), f"{where} is {body!r}"


def serve(registry, gpu_id, *, slots=4, memory=None, reports=()) -> None:
    name = f"gpu{gpu_id}".encode()
    registry.register(name, register(gpu_id, slots=slots), 0.0)
    registry.heartbeat(name, heartbeat(*reports, memory=memory), 0.0)


def gib(value) -> int:
    return round(value * GIB)


@pytest.fixture
def registry():
    """Give four workers of the guide's size, with two sessions each."""
    registry = WorkerRegistry(range(4), lost_after_s=2.0)
    for gpu_id in range(4):
        report = MemoryReport(gib(15.75), gib(7.45), gib(8.30), gib(8.25), 45.0)
        serve(registry, gpu_id, memory=report, reports=(SlotReport(1, "x", ours=True, received=3 * S, decoded=S),))
    for n in range(8):
        registry.acquire(f"session-{n}", 0.0)
    return registry


@pytest.fixture
def statistics():
    """Give two setups and a completed session."""
    statistics = Statistics()
    statistics.observe(ready(3.0, 1.0, 2346.0, 2350.0, 0, 10.0))
    statistics.observe(ready(2.0, 1.04, 1.0, 4.04, 1, 1000.0))
    statistics.observe(closed("a", "complete", SessionAccounting(48_000, 40_000, 8_000, 0, None)))
    return statistics


def test_gpu_status_is_the_guides(registry):
    """Every key of the guide is there with its type, and the values are the guide's for its example."""
    body = reports.gpu_status(take_snapshot(registry), 4)
    assert_shape(body, GPU_STATUS)
    assert (body["total_gpus"], body["total_connections"], body["max_connections_per_gpu"]) == (4, 8, 4)
    assert [gpu["active_connections"] for gpu in body["gpus"]] == [2, 2, 2, 2]
    first = {key: body["gpus"][0][key] for key in GPU_STATUS["gpus"][0]}
    assert first == {
        "gpu_id": 0,
        "active_connections": 2,
        "connection_ids": ["session-0", "session-4"],
        "total_memory_gb": 15.75,
        "allocated_memory_gb": 7.45,
        "free_memory_gb": 8.3,
        "utilization_percent": 47.3,
    }
    assert (body["gpus"][0]["available_memory_gb"], body["gpus"][0]["gpu_utilization_percent"]) == (8.25, 45.0)
    assert body["gpus"][0]["lag_s"] == 2.0
    json.dumps(body, allow_nan=False)


def test_performance_is_the_guides(registry, statistics):
    """Every key of the guide is there; averages are over setups and over completed sessions."""
    body = reports.performance(take_snapshot(registry), statistics, 1000.0)
    assert_shape(body, PERFORMANCE)
    assert (body["total_completed_connections"], body["active_connections"]) == (1, 8)
    assert body["averages"] == {
        "setup_time_ms": 1177.0,
        "connection_duration_s": 45.2,
        "audio_chunks_per_connection": 892.0,
        "transcriptions_per_connection": 235.0,
    }
    assert body["extremes"] == {"slowest_setup_ms": 2350.0, "fastest_setup_ms": 4.0}


def test_health_is_the_guides(registry, statistics):
    """Every key of the guide is there, those of ``/performance`` too."""
    body, status = reports.health(take_snapshot(registry), statistics, 1698765432.1234)
    assert_shape(body, HEALTH)
    assert (status, body["status"], body["timestamp"]) == (200, "healthy", 1698765432.123)
    assert list(body["capacity"].values()) == [16, 8, 8, 50.0]
    assert body["gpus"] == {"total": 4, "with_connections": 4}
    assert body["performance"].items() <= reports.performance(take_snapshot(registry), statistics, 0.0).items()


def scrape(registry, statistics) -> str:
    metrics = CollectorRegistry()
    metrics.register(PrometheusView(lambda: take_snapshot(registry), statistics))
    return generate_latest(metrics).decode()


def test_the_metrics_are_the_guides(registry, statistics):
    """Names, help, types, the ``gpu`` label and values, as prometheus_client writes them."""
    text = scrape(registry, statistics)
    lines = text.splitlines()
    assert "# HELP whisperlivekit_gpu_total Total number of GPUs" in lines
    assert "# TYPE whisperlivekit_gpu_total gauge" in lines
    assert "whisperlivekit_gpu_total 4.0" in lines
    assert "# HELP whisperlivekit_connections_active Active WebSocket connections" in lines
    assert [line for line in lines if line.startswith("whisperlivekit_connections_active{")] == [
        f'whisperlivekit_connections_active{{gpu="{gpu_id}"}} 2.0' for gpu_id in range(4)
    ]
    assert "# HELP whisperlivekit_gpu_memory_allocated_gb GPU memory allocated in GB" in lines
    assert 'whisperlivekit_gpu_memory_allocated_gb{gpu="3"} 7.45' in lines
    assert "whisperlivekit_setup_time_ms_avg 1177.02" in lines
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(found) >= METRICS
    assert all(found[name].type == "gauge" for name in METRICS)
    for family in found.values():
        series = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(set(series)) == len(series)


def test_unknown_figures_are_null():
    """Before the first worker, the first setup and the first report there are none."""
    registry, statistics = WorkerRegistry(range(2), lost_after_s=2.0), Statistics()
    status = reports.gpu_status(take_snapshot(registry), 4)
    assert (status["total_gpus"], status["total_connections"], status["max_connections_per_gpu"]) == (0, 0, 4)
    assert [gpu["gpu_id"] for gpu in status["gpus"]] == [0, 1]
    for gpu in status["gpus"]:
        assert (gpu["state"], gpu["active_connections"], gpu["connection_ids"]) == ("expected", 0, [])
        assert {gpu[key] for key in gpu if key.endswith(("_gb", "_percent", "lag_s"))} == {None}
    body = reports.performance(take_snapshot(registry), statistics, 0.0)
    averages = body["averages"]
    assert set(averages.values()) == {None}
    assert set(body["extremes"].values()) == {None}
    for figures in (body["percentiles"], body["last_10_minutes"]["percentiles"]):
        assert set(figures) == set(reports.KEYS.values())
        assert all(figure == {"p50": None, "p95": None, "p99": None, "count": 0} for figure in figures.values())
    assert body["percentiles_by_gpu"] == {}
    text = scrape(registry, statistics)
    assert "whisperlivekit_gpu_total 0.0" in text
    assert "\nwhisperlivekit_gpu_memory_allocated_gb{" not in text
    assert "\nwhisperlivekit_setup_time_ms_avg" not in text
    assert "NaN" not in text


def test_a_worker_without_figures_has_null_memory(registry):
    """A device that does not tell its memory has null, not zero, and no metric; the others keep theirs."""
    serve(registry, 1, memory=MemoryReport(None, None, None, None, None))
    gpu = reports.gpu_status(take_snapshot(registry), 4)["gpus"][1]
    assert gpu["total_memory_gb"] is gpu["allocated_memory_gb"] is gpu["free_memory_gb"] is None
    assert gpu["utilization_percent"] is None
    text = scrape(registry, Statistics())
    assert 'whisperlivekit_gpu_memory_allocated_gb{gpu="0"}' in text
    assert 'whisperlivekit_gpu_memory_allocated_gb{gpu="1"}' not in text


def test_a_lost_worker_is_listed_and_not_counted(registry, statistics):
    """Its slots leave the totals, its memory is unknown, and it says that it is lost."""
    registry.mark_lost(b"gpu2", "stopped")
    status = reports.gpu_status(take_snapshot(registry), 4)
    assert (status["total_gpus"], len(status["gpus"]), status["total_connections"]) == (3, 4, 6)
    lost = status["gpus"][2]
    assert (lost["state"], lost["active_connections"], lost["allocated_memory_gb"]) == ("lost", 0, None)
    body, status = reports.health(take_snapshot(registry), statistics, 0.0)
    assert (status, body["capacity"]["total_slots"], body["gpus"]["total"]) == (200, 12, 3)


def test_no_slot_at_all_is_critical_and_503(statistics):
    """So load balancers send no sessions here."""
    body, status = reports.health(take_snapshot(WorkerRegistry(range(4), lost_after_s=2.0)), statistics, 0.0)
    assert (status, body["status"]) == (503, "critical")
    assert_shape(body["performance"], PERFORMANCE)
    assert body["capacity"] == dict.fromkeys(HEALTH["capacity"], 0) | {"utilization_percent": None}


@pytest.mark.parametrize(
    ("slots", "used", "word"),
    [(16, 0, "healthy"), (16, 11, "healthy"), (16, 12, "degraded"), (16, 14, "degraded"), (16, 15, "critical"), (16, 16, "critical"), (10, 7, "degraded"), (10, 9, "degraded"), (4000, 2799, "healthy"), (4000, 3601, "critical")],
)  # fmt: skip
def test_health_follows_the_leases(slots, used, word):
    """Below 70 % of slots in use healthy, to 90 % degraded, above critical, before anything is rounded for display."""
    registry = WorkerRegistry(range(1), lost_after_s=2.0)
    serve(registry, 0, slots=slots)
    for n in range(used):
        registry.acquire(str(n), 0.0)
    assert reports.health(take_snapshot(registry), Statistics(), 0.0)[0]["status"] == word


def test_other_gateways_sessions_use_capacity():
    """Slots that another gateway holds are used slots, though no connection of ours."""
    registry = WorkerRegistry(range(1), lost_after_s=2.0)
    serve(registry, 0, reports=(SlotReport(1, "x", ours=False, received=0, decoded=0),))
    assert reports.health(take_snapshot(registry), Statistics(), 0.0)[0]["capacity"]["used_slots"] == 1
    assert reports.gpu_status(take_snapshot(registry), 4)["total_connections"] == 0


def test_refused_sessions_are_no_connections():
    """A session that was never ready is an outcome; it does not change the averages."""
    statistics = Statistics()
    statistics.observe(closed("a", "no_capacity", SessionAccounting(100, 0, 0, 100, "no_capacity"), was_ready=False))
    body = reports.performance(take_snapshot(WorkerRegistry(range(1), lost_after_s=2.0)), statistics, 0.0)
    assert (body["total_completed_connections"], body["averages"]["connection_duration_s"]) == (0, None)
    assert body["outcomes"] == {"no_capacity": 1}
    text = scrape(WorkerRegistry(range(1), lost_after_s=2.0), statistics)
    assert 'whisperlivekit_sessions_total{outcome="no_capacity"} 1.0' in text
    assert 'whisperlivekit_audio_seconds_total{fate="dropped"} 0.00625' in text
    assert 'whisperlivekit_audio_dropped_seconds_total{reason="no_capacity"} 0.00625' in text


def test_percentiles():
    """Each stage of connecting, since the start and in the last ten minutes, of all GPUs and of each."""
    statistics = Statistics()
    for total_ms in (100.0, 200.0, 300.0):
        statistics.observe(ready(1.0, 2.0, total_ms - 3.0, total_ms, 0, 10.0))
    statistics.observe(ready(1.0, 2.0, 4997.0, 5000.0, 3, 2000.0))
    arrival_times = ArrivalTimes()
    arrival_times.note(S, 1998.5)
    step = hypothesis(word(" one", 0.5, 1.0), decoded=S)
    statistics.observe(StepTaken("a", 3, step, S, arrival_times, 2000.0))
    body = reports.performance(take_snapshot(WorkerRegistry(range(4), lost_after_s=2.0)), statistics, 2000.0)
    ever, late = body["percentiles"], body["last_10_minutes"]["percentiles"]
    assert ever["setup_time_ms"] == {"p50": pytest.approx(200, rel=0.02), "p95": 5000.0, "p99": 5000.0, "count": 4}
    assert late["setup_time_ms"] == {"p50": 5000.0, "p95": 5000.0, "p99": 5000.0, "count": 1}
    assert (ever["accept_ms"]["p95"], ever["allocate_ms"]["p95"]) == (1.0, 2.0)
    assert set(body["percentiles_by_gpu"]) == {"0", "3"}
    first = body["percentiles_by_gpu"]["0"]
    assert (first["setup_time_ms"]["p99"], first["commit_latency_ms"]["p50"]) == (300.0, None)
    assert body["percentiles_by_gpu"]["3"]["commit_latency_ms"]["p50"] == 1500.0
    assert body["last_10_minutes"]["percentiles_by_gpu"]["0"]["setup_time_ms"]["count"] == 0
    json.dumps(body, allow_nan=False)

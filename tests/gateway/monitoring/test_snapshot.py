"""One snapshot serves every endpoint: what they show of one moment agrees."""

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from gateway.auth.monitor_auth import MonitorAuth
from gateway.background import BackgroundTasks
from gateway.monitoring.endpoints import Endpoints
from gateway.monitoring.history import short_id
from gateway.monitoring.sse import MonitorFeed
from shared.messages import Goodbye, SlotReport
from shared.settings import GatewaySettings
from tests.gateway.builders import heartbeat
from tests.gateway.exchange import Exchange
from tests.gateway.http_client import HttpClient
from tests.gateway.readers import read_samples

STATES = st.sampled_from(["expected", "serving", "draining", "lost"])
WORKERS = st.lists(st.tuples(STATES, st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=4)
"""Workers by state, slots, and slots that another gateway holds."""


def client_of(exchange) -> HttpClient:
    auth = MonitorAuth(GatewaySettings.defaults())
    endpoints = Endpoints(exchange.manager, exchange.statistics, auth, BackgroundTasks(), 4)
    feed = MonitorFeed(exchange.manager, exchange.history, 4, auth)
    return HttpClient(Starlette(routes=[*endpoints.routes(), *feed.routes()]))


@settings(max_examples=40, deadline=None)
@given(WORKERS, st.integers(0, 9))
def test_endpoints_agree(workers, sessions):
    """Whatever state workers and sessions are in, the JSON bodies and the metrics have the same figures."""
    exchange = Exchange(workers=len(workers))
    for gpu_id, (state, slots, _) in enumerate(workers):
        exchange.slots = slots
        if state != "expected":
            exchange.hear(exchange.boot(gpu_id))
    for _ in range(sessions):
        exchange.client().join()
    for gpu_id, (state, _, foreign) in enumerate(workers):
        if state == "lost":
            exchange.manager.on_worker_message(exchange.workers[gpu_id].identity, Goodbye("stopped"))
        elif state != "expected":
            reports = [SlotReport(n, "other", ours=False, received=9, decoded=n) for n in range(foreign)]
            exchange.registry.heartbeat(exchange.workers[gpu_id].identity, heartbeat(*reports, state=state), 0.0)
    client = client_of(exchange)
    status, state = client.get("/gpu-status").json(), client.get("/monitor/state").json()
    health, metrics = client.get("/health").json(), read_samples(client.get("/metrics/prometheus").text)
    capacity = health["capacity"]
    assert status["total_gpus"] == state["serving_gpus"] == health["gpus"]["total"] == metrics["gpu_total",]
    assert state["total_slots"] == capacity["total_slots"]
    assert state["used_slots"] == capacity["used_slots"]
    assert state["status"] == health["status"]
    for gpu, shown in zip(status["gpus"], state["gpus"], strict=True):
        label = str(gpu["gpu_id"])
        assert (gpu["gpu_id"], gpu["state"]) == (shown["gpu_id"], shown["state"])
        assert [short_id(name) for name in gpu["connection_ids"]] == [row["id"] for row in shown["sessions"]]
        assert gpu["active_connections"] == len(shown["sessions"]) == metrics["connections_active", label]
        assert gpu["active_connections"] == metrics["slots_in_state", label, "used"]
        assert shown["used"] - len(shown["sessions"]) == shown["foreign"] == metrics["slots_in_state", label, "foreign"]
        assert (shown["state"] == "serving") == metrics["worker_up", label]
    serving = [gpu for gpu in state["gpus"] if gpu["state"] == "serving"]
    assert state["used_slots"] == sum(gpu["used"] for gpu in serving)
    assert state["total_slots"] == sum(value for key, value in metrics.items() if key[0] == "slots")
    in_slots = sum(len(gpu["sessions"]) for gpu in state["gpus"])
    assert status["total_connections"] == in_slots
    open_sessions = sum(value for key, value in metrics.items() if key[0] == "sessions_open")
    assert open_sessions == in_slots + len(state["elsewhere"])
    waiting = [row["id"] for row in state["elsewhere"] if row["state"] == "waiting"]
    assert [short_id(name) for name in status["waiting_connection_ids"]] == waiting
    assert metrics["sessions_open", "waiting"] == metrics["waiting_line_sessions",] == len(waiting)

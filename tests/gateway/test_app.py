"""The HTTP side: the guide's four endpoints, the page, and the headers that guard it."""

import asyncio
import json

import pytest

from gateway.app import create_app, create_gateway
from shared.messages import Goodbye
from shared.settings import GatewaySettings
from tests.gateway.builders import heartbeat, register
from tests.gateway.http_client import HttpClient
from tests.gateway.monitoring.test_reports import GPU_STATUS, HEALTH, METRICS, PERFORMANCE, assert_shape


@pytest.fixture
def gateway(tmp_path):
    """Give an HTTP client of the application, and its session manager; the link to workers is not bound."""
    settings = GatewaySettings.defaults(run_dir=tmp_path)
    gateway = create_gateway(settings)
    yield HttpClient(create_app(settings, gateway)), gateway.manager
    gateway.link.close()


def test_every_endpoint_answers_without_workers(gateway):
    """Before the first worker registers each has the guide's keys, with figures or null, and health is critical with 503."""
    client, _ = gateway
    for path, golden, code in (
        ("/gpu-status", GPU_STATUS, 200),
        ("/performance", PERFORMANCE, 200),
        ("/health", HEALTH, 503),
    ):
        answer = client.get(path)
        assert answer.status_code == code
        body = json.loads(answer.text, parse_constant=pytest.fail)  # no NaN and no infinity, which other parsers refuse
        assert_shape(body, golden, nullable=True)
    assert len(client.get("/gpu-status").json()["gpus"]) == 4
    metrics = client.get("/metrics/prometheus")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert "whisperlivekit_gpu_total 0.0" in metrics.text
    without_value = {"whisperlivekit_setup_time_ms_avg"}
    assert {name for name in METRICS if f"# TYPE {name} gauge" in metrics.text} == METRICS - without_value


def test_livez_and_readyz(gateway):
    """The process is alive from the start; it is ready while at least one worker serves."""
    client, manager = gateway
    assert client.get("/livez").status_code == 200
    unready = client.get("/readyz")
    assert (unready.status_code, unready.text) == (503, "no worker serves\n")
    manager.workers.register(b"gpu0.a", register(0), 0.0)
    assert client.get("/readyz").status_code == 200
    manager.workers.heartbeat(b"gpu0.a", heartbeat(state="draining"), 0.0)
    assert (client.get("/readyz").status_code, client.get("/health").status_code) == (503, 503)
    manager.workers.mark_lost(b"gpu0.a", "stopped")
    assert (client.get("/readyz").status_code, client.get("/health").status_code) == (503, 503)
    assert client.get("/livez").status_code == 200


def test_a_gateway_that_stops_is_not_ready(gateway):
    """While it drains it is alive and answers, but balancers send it no new sessions."""
    client, manager = gateway
    manager.workers.register(b"gpu0.a", register(0), 0.0)
    asyncio.run(manager.drain(1.0))
    unready = client.get("/readyz")
    assert (unready.status_code, unready.text) == (503, "the gateway stops\n")
    assert client.get("/livez").status_code == 200


def test_every_response_has_security_headers(gateway):
    """They keep foreign scripts and frames out."""
    client, _ = gateway
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for response in (page, client.get("/health"), client.get("/nothing-here")):
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/%2e%2e/pyproject.toml", "/..%2fapp.py", "/nothing"])
def test_nothing_outside_the_web_folder_is_served(gateway, path):
    """No path leads out of the page's folder, and an unknown file is 404."""
    client, _ = gateway
    assert client.get(path).status_code == 404


def test_a_websocket_on_another_path_is_refused(gateway):
    """Only ``/asr`` takes WebSockets."""
    client, _ = gateway
    for path in ("/health", "/", "/asr2", "/page/app.js"):
        assert client.open_websocket(path) == ["websocket.close"]


def test_a_workers_steps_outlive_it(gateway):
    """A scrape after a worker's end still has the steps that its heartbeats told."""
    client, manager = gateway

    async def live_and_die():
        for message in (register(0), heartbeat(step_s=(0.1, 0.2, 0.3), batches=(1, 2, 4)), Goodbye("stopped")):
            manager.on_worker_message(b"gpu0.a", message)

    asyncio.run(live_and_die())
    assert 'whisperlivekit_steps_total{gpu="0"} 3.0' in client.get("/metrics/prometheus").text

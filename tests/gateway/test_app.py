"""The HTTP side: the guide's four endpoints, the page, and the headers that guard it."""

import asyncio
import json

import httpx
import pytest

from gateway.app import create_app, create_gateway
from shared.messages import Goodbye
from shared.settings import GatewaySettings
from tests.gateway.builders import heartbeat, register
from tests.gateway.monitoring.test_reports import GPU_STATUS, HEALTH, METRICS, PERFORMANCE, assert_shape


class Browser:
    """Asks the application without a network."""

    def __init__(self, app) -> None:
        self.app = app

    def get(self, path) -> httpx.Response:
        """Return the answer to one request."""

        async def ask():
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self.app), base_url="http://a.example"
            ) as client:
                return await client.get(path)

        return asyncio.run(ask())

    def connect(self, path) -> list[str]:
        """Return the kinds of messages with which a WebSocket is answered."""
        answers = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            answers.append(message["type"])

        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": []}
        asyncio.run(self.app(scope, receive, send))
        return answers


@pytest.fixture
def gateway(tmp_path):
    """Give a client of the application, and the switchboard behind it; the link to workers is not bound."""
    settings = GatewaySettings.defaults(run_dir=tmp_path)
    gateway = create_gateway(settings)
    yield Browser(create_app(settings, gateway)), gateway.manager
    gateway.link.close()


def test_the_four_endpoints_answer_without_workers(gateway):
    """Before any worker has come there are figures or null, and health is critical with 503."""
    client, _ = gateway
    status = client.get("/gpu-status")
    assert (status.status_code, status.json()["total_gpus"], len(status.json()["gpus"])) == (200, 0, 4)
    assert client.get("/performance").status_code == 200
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "critical")
    metrics = client.get("/metrics/prometheus")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert "whisperlivekit_gpu_total 0.0" in metrics.text


def test_the_four_endpoints_have_the_guides_keys(gateway):
    """With a worker every key of the guide is in the bodies as they are served."""
    client, manager = gateway
    manager.workers.register(b"gpu0.a", register(0), 0.0)
    status, health = client.get("/gpu-status").json(), client.get("/health")
    assert set(status) >= set(GPU_STATUS)
    assert all(set(gpu) >= set(GPU_STATUS["gpus"][0]) for gpu in status["gpus"])
    assert health.status_code == 200
    assert set(client.get("/performance").json()) >= set(PERFORMANCE)
    assert set(health.json()) >= set(HEALTH)
    assert set(health.json()["performance"]["averages"]) >= set(PERFORMANCE["averages"])
    assert_shape(health.json()["capacity"], HEALTH["capacity"])
    text = client.get("/metrics/prometheus").text
    assert {name for name in METRICS if f"# TYPE {name} gauge" in text} >= METRICS - {
        "whisperlivekit_setup_time_ms_avg"
    }


def test_alive_is_not_ready(gateway):
    """The process lives from the start; it is ready when a worker serves, and neither is lost nor all are draining."""
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
    """While it drains it lives and answers, but nobody new is sent to it."""
    client, manager = gateway
    manager.workers.register(b"gpu0.a", register(0), 0.0)
    asyncio.run(manager.drain(1.0))
    unready = client.get("/readyz")
    assert (unready.status_code, unready.text) == (503, "the gateway stops\n")
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/gpu-status", "/performance", "/health"])
def test_bodies_are_plain_json(gateway, path):
    """No NaN and no infinity, which other parsers refuse."""
    client, _ = gateway
    json.loads(client.get(path).text, parse_constant=lambda name: pytest.fail(f"{path} has {name}"))


def test_the_page_is_served_guarded(gateway):
    """The page and everything else come with headers that keep foreign scripts and frames out."""
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
def test_nothing_else_is_served(gateway, path):
    """No path leads out of the page's folder."""
    client, _ = gateway
    assert client.get(path).status_code == 404


def test_a_websocket_elsewhere_is_refused(gateway):
    """Only ``/asr`` takes WebSockets."""
    client, _ = gateway
    for path in ("/health", "/", "/asr2", "/page/app.js"):
        assert client.connect(path) == ["websocket.close"]


def test_the_steps_of_a_worker_are_counted_before_it_dies(gateway):
    """The gateway notes what workers tell while they live: a scrape after a worker's death has its steps."""
    client, manager = gateway

    async def live_and_die():
        for message in (register(0), heartbeat(step_s=(0.1, 0.2, 0.3), batches=(1, 2, 4)), Goodbye("stopped")):
            manager.on_worker_message(b"gpu0.a", message)

    asyncio.run(live_and_die())
    assert 'whisperlivekit_steps_total{gpu="0"} 3.0' in client.get("/metrics/prometheus").text

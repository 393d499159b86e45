"""Starting, stopping and watching a real gateway: ready when it can serve, one line an event, and no secret in any."""

import signal
from urllib.parse import quote

import httpx
import pytest

from gateway.monitoring.reports import KEYS
from tests.scripted_recognizer import say
from tests.system.server import Server, eventually
from tests.system.talk import Talk

pytestmark = pytest.mark.system

WORDS = ["pencil", "rabbit", "yellow", "woodcutters"]
CLIENT_TOKEN = "a-clients/s3cret+word"
MONITOR_TOKEN = "an-operators/s3cret+word"


def status(server, path) -> int:
    """Return the HTTP status of a path."""
    return server.fetch(path).status_code


async def spoken(server, **options) -> Talk:
    """Return a whole session that said `WORDS`."""
    speech = say([*WORDS, 0.3])
    async with Talk(server, **options) as talk:
        await talk.ready()
        assert await talk.say(speech) == " ".join(WORDS)
    return talk


async def test_ready_from_the_first_worker_until_the_stop(tmp_path):
    """Alive at once, ready when a worker serves, not while it drains; a session on it gets its last words first."""
    speech = say([*WORDS, *WORDS])
    with Server(tmp_path, workers=1, recognizer={"step_s": 0.7}) as server:
        server.start_gateway()
        assert [status(server, path) for path in ("/livez", "/readyz", "/health")] == [200, 503, 503]
        server.start_worker(0)
        server.wait_serving(1)
        assert [status(server, path) for path in ("/livez", "/readyz", "/health")] == [200, 200, 200]
        async with Talk(server) as talk:
            await talk.ready()
            await talk.send(speech.pcm.tobytes())
            server.terminate_gateway()
            eventually(lambda: status(server, "/readyz") == 503, 10, "not ready")
            assert server.fetch("/readyz").text == "the gateway stops\n"
            assert status(server, "/livez") == 200
            assert await talk.ended() == 1012
        assert talk.text.split() == [*WORDS, *WORDS]
        server.stop()


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_word_and_no_token_in_any_line(tmp_path, log_format):
    """What was said and the tokens that were sent are in no log, whatever happens to the session meanwhile."""
    query = f"&token={quote(CLIENT_TOKEN, safe='')}"
    settings = {"API_TOKENS": CLIENT_TOKEN, "MONITOR_TOKEN": MONITOR_TOKEN, "LOG_LEVEL": "info"}
    with Server(tmp_path, workers=2, **settings | {"LOG_FORMAT": log_format}) as server:
        server.start()
        await spoken(server, query=query)
        await spoken(server, query=query, mode="full")
        async with Talk(server, query=query) as talk:
            await talk.ready()
            await talk.send(say(WORDS).pcm.tobytes(), real_time=True)
            await talk.words(2)
            server.signal_worker(talk.gpu_id, signal.SIGKILL)
            await talk.control('{"type": "rabbit"}')
            await talk.finish()
            await talk.done()
        async with Talk(server, query="&token=pencil&language=yellow") as refused:
            assert await refused.ended() == 4401
        # The last one needs no token any more: the client has kept the cookie.
        for path, code in (("/gpu-status", 401), ("/monitor", 303), ("/monitor/state", 303), ("/gpu-status", 200)):
            assert status(server, f"{path}?token={quote(MONITOR_TOKEN, safe='')}") == code
        server.terminate_gateway()
        server.gateway.wait(20)
        lines = server.log.lines
    text = "".join(lines)
    assert text.count("TranscriptionEngine loaded") == 3
    assert "is lost" in text
    assert all("level" in entry for entry in server.log.entries) or log_format == "console"
    assert all("info" in line or "warning" in line for line in lines), "one event a line, each with its level"
    secrets = [CLIENT_TOKEN, MONITOR_TOKEN, quote(CLIENT_TOKEN, safe=""), quote(MONITOR_TOKEN, safe=""), "token="]
    assert not [secret for secret in (*secrets, *WORDS, "woodc", "wood") if secret in text]


async def test_the_level_is_a_setting(tmp_path):
    """With LOG_LEVEL=warning a whole session leaves no line."""
    with Server(tmp_path, workers=1, LOG_LEVEL="warning") as server:
        server.start()
        await spoken(server)
        server.stop()
        assert server.log.lines == []


async def test_performance_explains_real_sessions(tmp_path):
    """After a session on each GPU every figure has percentiles, of all and by GPU, since the start and of late."""
    with Server(tmp_path, workers=2, MONITOR_TOKEN=MONITOR_TOKEN) as server:
        server.start()
        async with Talk(server) as first, Talk(server) as second:
            for talk in (first, second):
                await talk.ready()
            for talk in (first, second):
                await talk.say(say([*WORDS, 0.3]))
        url, headers = f"{server.http_url}/performance", {"Authorization": f"Bearer {MONITOR_TOKEN}"}
        assert status(server, "/performance") == 401
        body = httpx.get(url, headers=headers, trust_env=False).json()
        server.stop()
    for part in (body, body["last_10_minutes"]):
        assert set(part["percentiles"]) == set(KEYS.values())
        assert set(part["percentiles_by_gpu"]) == {"0", "1"}
        for figures in (part["percentiles"], *part["percentiles_by_gpu"].values()):
            for name, figure in figures.items():
                assert 0 <= figure["p50"] <= figure["p95"] <= figure["p99"] < 60_000, name
        assert part["percentiles"]["flush_latency_ms"]["count"] == 2
        assert part["percentiles"]["first_word_ms"]["count"] == 2
        assert part["percentiles"]["commit_latency_ms"]["count"] == 2 * len(WORDS)
    whole = body["percentiles"]["setup_time_ms"]
    assert body["extremes"]["fastest_setup_ms"] <= whole["p50"] <= whole["p99"] <= body["extremes"]["slowest_setup_ms"]

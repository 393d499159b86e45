"""A real gateway whose worker socket breaks: its client is told, and the process ends for its supervisor to see."""

import httpx
import pytest

from tests.system.server import Server, eventually
from tests.system.talk import Talk
from tests.system.verifying import FAULTY_GATEWAY

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


async def test_a_gateway_without_its_worker_socket_ends(tmp_path):
    """The error is in the log with its traceback, the session ends with 1012, and the exit code is that of a failure."""
    with Server(tmp_path, workers=0) as server:
        server.gateway = server.start_process(FAULTY_GATEWAY, {"GATEWAY_FAULT": "socket_lost", "GPU_WORKERS": "1"})
        server.wait_for_gateway(server.gateway)
        async with Talk(server) as talk:
            assert await talk.ended(limit_s=20) == 1012
        with pytest.raises(httpx.TransportError):
            eventually(lambda: server.fetch("/livez").status_code != 503, what="the end of the gateway")
        assert server.gateway.wait(10) == 1
        failed = server.log.wait("background_failed")
        assert (failed["task"], failed["level"]) == ("workers", "error")
        assert "Traceback" in failed["exception"]

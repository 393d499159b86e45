import logging

import pytest
import structlog

from tests.gateway.asr_harness import GatewayHarness
from tests.gateway.exchange import Exchange


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _restored_logging():
    """Put the root logger back as a test found it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def exchange():
    """Give two workers of two slots; at the end every slot that was allocated must have been released once."""
    exchange = Exchange().boot_all()
    yield exchange
    for client in exchange.clients:
        client.leave()
    exchange.check()
    exchange.check_log()


@pytest.fixture
async def gateway(request):
    """Give a gateway with one worker and, as the fixture's parameter, settings; shut it down at the end."""
    gateway = GatewayHarness(**getattr(request, "param", {}))
    yield gateway
    await gateway.shut_down()

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.system.server import Server


@pytest.fixture(scope="module")
def start_server(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server; at the module's end all are stopped, checked and killed."""
    with contextlib.ExitStack() as running:
        servers = []

        def start(**options) -> Server:
            server = running.enter_context(Server(tmp_path_factory.mktemp("run", numbered=True), **options))
            server.start()
            servers.append(server)
            return server

        yield start
        for server in servers:
            server.stop()

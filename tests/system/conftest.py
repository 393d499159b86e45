import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(Server.stop, servers))


@pytest.fixture(scope="session")
def real_server(tmp_path_factory) -> Iterator[Server]:
    """Give one worker with the real weights of ``tiny.en``, shared by all tests that need right words of few sessions."""
    worker = (sys.executable, "-m", "gpu_worker")
    run_dir = tmp_path_factory.mktemp("real")
    with Server(run_dir, workers=1, worker=worker, WHISPER_MODEL="tiny.en", MODEL_IDLE_UNLOAD_S="-1") as server:
        server.start()
        yield server
        server.stop()

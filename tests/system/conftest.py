import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.web import tone
from tests.gateway.web.scripted_server import ScriptedServer
from tests.system import chromium
from tests.system.server import Server
from tests.system.verifying import ServerWithFault


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[chromium.Chromium]:
    """Give a browser whose microphone plays a tone, and to which plain.test is a page without TLS."""
    microphone = tone.write(tmp_path_factory.mktemp("microphone") / "tone.wav")
    with chromium.Chromium(microphone, flags=("--host-resolver-rules=MAP plain.test 127.0.0.1",)) as running:
        running.look()
        yield running


@pytest.fixture(scope="module")
def running_server() -> Iterator[ScriptedServer]:
    """Give the scripted server of the page."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Server]:
    """Give a server of two workers with two slots each, for `scripts/verify_scaling`."""
    with ServerWithFault(tmp_path_factory.mktemp("small") / "run", workers=2, SLOTS_PER_GPU="2") as server:
        server.run_dir.mkdir(mode=0o700)
        yield server.start()
        server.stop()

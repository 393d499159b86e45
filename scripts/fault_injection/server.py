"""A server of our own under supervisord, in a directory of its own (shell)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.server.supervise import ROOT
from scripts.tools.server_api import ServerApi, UnreachableError

START_LIMIT_S = 240.0
STOP_LIMIT_S = 60.0


class ServerError(Exception):
    """The server does not come up; the message says where its log is."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    url: str
    run_dir: Path


@contextlib.contextmanager
def own_server(workers: int) -> Iterator[RunningServer]:
    """Start ``scripts/serve``'s inside on a free port; ServerError names the log of one that does not serve in time."""
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = RunningServer(f"http://127.0.0.1:{port}", home / "run")
    settings = {"RUN_DIR": str(server.run_dir), "PORT": str(port), "GPU_WORKERS": str(workers), "LOG_FORMAT": "json"}
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.server.supervise"],
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_serving(ServerApi(server.url), workers, process, log)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
    print(f"The server's log: {log}")


def _wait_serving(api: ServerApi, workers: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(UnreachableError):
            if sum(worker.serving for worker in api.gpu_status().gpus) >= workers:
                return
        time.sleep(0.5)
    raise ServerError(f"the server does not serve with {workers} workers; its log is {log}")

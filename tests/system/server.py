"""A gateway and its workers as real processes on a free port, with their logs, and an end that leaves nothing."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import httpx
import psutil
import pytest

from scripts.server.foreground import linux_prctl
from shared.settings import GatewaySettings, WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
LIMIT_S = 40.0
"""What waiting lasts at most: many times what it takes, as the machine may be crowded."""
START_LIMIT_S = 150.0
STOP_LIMIT_S = 60.0

GATEWAY = (sys.executable, "-m", "gateway")
SCRIPTED_WORKER = (sys.executable, "-m", "tests.system.scripted_worker")


def eventually(condition, limit_s=LIMIT_S, what="it"):
    """Return the first true value of ``condition``, or fail."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true within {limit_s:g} s")
        time.sleep(0.02)
    return value


def run(command, **options) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone to its end."""
    plain = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(command, check=False, **plain | options)


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(changes: dict[str, str]) -> dict[str, str]:
    """Return this process's environment without any setting of ours but ``changes``."""
    ours = {row.env for settings in (GatewaySettings, WorkerSettings) for row in settings.rows()}
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


class Log:
    """What all processes wrote: one dictionary a line; a line that is no JSON has its text under ``raw``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entries: list[dict] = []
        self._news = threading.Condition()

    def follow(self, stream) -> None:
        """Take lines until the stream's end, on a thread of their own."""
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream) -> None:
        with stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = None
                with self._news:
                    self.lines.append(line)
                    self.entries.append(entry if isinstance(entry, dict) else {"raw": line})
                    self._news.notify_all()

    def find(self, event_id: str, **fields) -> list[dict]:
        """Return the lines of this event with these values."""
        wanted = {"event_id": event_id, **fields}
        return [e for e in list(self.entries) if all(e.get(key) == value for key, value in wanted.items())]

    def wait(self, event_id: str, *, limit_s: float = LIMIT_S, count: int = 1, **fields) -> dict:
        """Return the newest of at least ``count`` such lines, waiting for it."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.find(event_id, **fields)) >= count, limit_s):
                pytest.fail(f"no {event_id} {fields} in the logs within {limit_s:g} s:\n{self.text()}")
        return self.find(event_id, **fields)[-1]

    def text(self, last: int = 60) -> str:
        """Return the last lines as they were written."""
        return "".join(self.lines[-last:])

    def check(self) -> None:
        """Assert what must hold once every session is gone: leases in pairs, books that balance, no failure unseen."""
        lease = ("connection", "gpu_id", "lease")
        granted = Counter(tuple(entry[key] for key in lease) for entry in self.find("gpu_allocated"))
        released = Counter(tuple(entry[key] for key in lease) for entry in self.find("gpu_released"))
        assert granted == released
        for entry in self.find("session_closed"):
            assert entry["received"] == entry["transcribed"] + entry["silence"] + entry["unclear"] + entry["dropped"], (
                entry
            )
            assert (entry["dropped"] > 0) == (entry["dropped_reason"] is not None), entry
        for event in ("handler_failed", "connection_failed", "odd_message", "message_refused"):
            assert not self.find(event), self.find(event)
        assert not [entry for entry in self.entries if "Traceback" in entry.get("raw", "")], self.text(200)


class Server:
    """One gateway and its workers; a context manager whose end kills every process it started.

    ``recognizer`` is for `scripted_worker.ConfiguredRecognizer`; settings are environment variables of all processes.
    """

    def __init__(self, run_dir: Path, *, workers: int = 4, worker=SCRIPTED_WORKER, recognizer=None, **settings) -> None:
        self.port = free_port()
        self.run_dir = run_dir
        self.log = Log()
        self._count = workers
        self._worker_command = worker
        self._env = environment(
            {
                "RUN_DIR": str(run_dir),
                "PORT": str(self.port),
                "GPU_WORKERS": str(workers),
                "LOG_FORMAT": "json",
                "DEVICE": "cpu",
                "PYTHONUNBUFFERED": "1",
                "RECOGNIZER": json.dumps(recognizer or {}),
                **settings,
            }
        )
        self.gateway: subprocess.Popen | None = None
        self.workers: dict[int, subprocess.Popen] = {}
        self._started: list[subprocess.Popen] = []
        self._http = httpx.Client(base_url=self.http_url, trust_env=False, timeout=40)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def http_url(self) -> str:
        """Return the page's address."""
        return f"http://127.0.0.1:{self.port}"

    # --- processes ------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start everything at once, as a supervisor does, and wait until all slots are served."""
        gateway = self.launch_gateway()
        for number in range(self._count):
            self.start_worker(number)
        self.wait_for_gateway(gateway)
        self.wait_serving(self._count)
        return self

    def launch_gateway(self) -> subprocess.Popen:
        """Start the gateway and return at once."""
        self.gateway = self.start_process(GATEWAY, {})
        return self.gateway

    def start_gateway(self) -> None:
        """Start the gateway and wait until it answers."""
        self.wait_for_gateway(self.launch_gateway())

    def start_worker(self, number: int) -> None:
        """Start one worker."""
        self.workers[number] = self.start_process(
            self._worker_command, {"GPU_ID": str(number), "CUDA_VISIBLE_DEVICES": str(number)}
        )

    def start_process(self, command, env: dict[str, str]) -> subprocess.Popen:
        """Start a process whose output goes to the log, and which ends with us."""
        prctl = linux_prctl()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - a killed test run leaves none
        )
        self._started.append(process)
        self.log.follow(process.stdout)
        return process

    def wait_for_gateway(self, process: subprocess.Popen) -> None:
        """Wait until the gateway answers; fail if the process that is to bring it ends."""

        def answers() -> bool:
            if process.poll() is not None:
                pytest.fail(f"ended with {process.returncode}:\n{self.log.text()}")
            with contextlib.suppress(httpx.HTTPError):
                self._http.get("/health")
                return True
            return False

        eventually(answers, START_LIMIT_S, "the gateway")

    def wait_serving(self, workers: int, limit_s: float = START_LIMIT_S) -> None:
        """Wait until this number of workers serves."""
        eventually(lambda: self.get("/health")["gpus"]["total"] == workers, limit_s, f"{workers} workers")

    def restore(self) -> None:
        """Start again every worker that has died, and wait until all serve and no session is left."""
        for number, worker in self.workers.items():
            if worker.poll() is not None:
                self.start_worker(number)
        self.wait_serving(self._count)
        self.wait_loads(*[0] * self._count)

    def terminate_gateway(self) -> None:
        """Ask the gateway to stop; it flushes its sessions first."""
        self.gateway.send_signal(signal.SIGTERM)

    def signal_worker(self, number: int, what: signal.Signals) -> None:
        """Send a signal to a worker."""
        self.workers[number].send_signal(what)

    def stop(self) -> None:
        """Stop everything as a supervisor would, the gateway first, and check the exits and the logs."""
        for processes in ([self.gateway], [*self.workers.values()]):
            running = [process for process in processes if process.poll() is None]
            for process in running:
                process.terminate()
            assert [process.wait(STOP_LIMIT_S) for process in running] == [0] * len(running), self.log.text()
        self.log.check()

    def kill(self) -> None:
        """Kill whatever still runs."""
        self._http.close()
        for process in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()

    # --- what it says ---------------------------------------------------------------------------------------

    def fetch(self, path: str) -> httpx.Response:
        """Answer an HTTP GET."""
        return self._http.get(path)

    def get(self, path: str) -> dict:
        """Return the JSON under a path."""
        return self.fetch(path).json()

    def loads(self) -> list[int]:
        """Return the sessions of each worker, by GPU number."""
        return [gpu["active_connections"] for gpu in self.get("/gpu-status")["gpus"]]

    def wait_loads(self, *loads: int, limit_s: float = LIMIT_S) -> None:
        """Wait until the workers hold these numbers of sessions."""
        eventually(lambda: self.loads() == list(loads), limit_s, f"loads {loads}, now {self.loads()},")

    def gateway_memory_bytes(self) -> int:
        """Return the gateway's private memory."""
        return psutil.Process(self.gateway.pid).memory_full_info().uss

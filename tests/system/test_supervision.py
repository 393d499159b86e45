"""Real supervisord with the real supervisord.conf; only the two commands are replaced, by a scripted child."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from scripts.tools.supervisord import Supervisord
from tests.system.server import ROOT, eventually, free_port, run
from tests.system.supervised import launch

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CHILD = Path(__file__).with_name("scripted_child.py")
eventually = partial(eventually, limit_s=20)


class Server:
    """The launcher and what it started, in a directory of its own."""

    def __init__(self, home):
        self.home = home
        self.run_dir = home / "run"
        self.run_dir.mkdir(mode=0o700)
        conf = (ROOT / "supervisord.conf").read_text()
        for name in ("gateway", "gpu_worker"):
            command = f'"%(ENV_SERVER_PYTHON)s" -m {name}'
            assert conf.count(command) == 1
            conf = conf.replace(command, f'"%(ENV_SERVER_PYTHON)s" "{CHILD}" {name}')
        self.conf = home / "supervisord.conf"
        self.conf.write_text(conf)
        self.port = free_port()
        self.output = b""

    def environment(self):
        """Return what scripts/serve exports, and a variable of the caller's."""
        return os.environ | {
            "RUN_DIR": str(self.run_dir),
            "GPU_WORKERS": "2",
            "STOP_WAIT_S": "10",
            "SERVER_PYTHON": sys.executable,
            "PORT": str(self.port),
            "COLOUR": "red 100%",
        }

    def start(self):
        """Start it, and wait until each process has had a life."""
        # A socket as stdout, as journald gives one: /dev/fd/1 cannot be opened on it.
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            launch(self.conf),
            cwd=ROOT,
            env=self.environment(),
            stdout=theirs,
            stderr=theirs,
        )
        theirs.close()
        self.reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self.reader.start()
        eventually(
            lambda: len(self.pids("gateway")) and len(self.pids("gpu_worker0")) and len(self.pids("gpu_worker1"))
        )

    def _read(self, stream):
        with stream:
            while data := stream.recv(65536):
                self.output += data

    def does(self, name, behaviour):
        """Say what a child does from its next start on."""
        (self.home / f"{name}.does").write_text(behaviour)

    def pids(self, name):
        """Return the pids of a child's lives."""
        file = self.home / f"{name}.starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def stops(self):
        """Return the children that stopped in order, first to last."""
        file = self.home / "stops"
        return file.read_text().split() if file.exists() else []

    def info(self, name):
        """Ask supervisord about a process."""
        return Supervisord(self.run_dir).process(name)

    def all_pids(self):
        """Return the pids of all lives."""
        return [pid for name in ("gateway", "gpu_worker0", "gpu_worker1") for pid in self.pids(name)]

    def end(self):
        """Return the exit code once the launcher has ended, and see that nothing is left."""
        code = self.process.wait(timeout=90)
        self.reader.join(timeout=30)
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in self.all_pids()))
        return code


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    if hasattr(server, "process") and server.process.poll() is None:
        server.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(timeout=90)
        server.process.kill()
    for pid in server.all_pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_never_start(server):
    """A worker that exits with 3 has one life, and the others go on."""
    server.does("gpu_worker0", "exit 3")
    server.start()
    eventually(lambda: server.info("gpu_worker:gpu_worker_0").state == "EXITED")
    time.sleep(3)  # supervisord decides about restarts every second
    info = server.info("gpu_worker:gpu_worker_0")
    assert (info.state, info.exit_status) == ("EXITED", 3)
    assert len(server.pids("gpu_worker0")) == 1
    assert server.info("gpu_worker:gpu_worker_1").state == "RUNNING"
    assert server.info("gateway").state == "RUNNING"


def test_ten_quick_kills(server):
    """A worker and the gateway, each killed ten times as soon as it is there, come back an eleventh time."""
    server.start()
    names = {"gpu_worker0": "gpu_worker:gpu_worker_0", "gateway": "gateway"}
    for life in range(10):
        for name in names:
            pids = eventually(lambda name=name, life=life: len(server.pids(name)) == life + 1 and server.pids(name))
            os.kill(pids[-1], signal.SIGKILL)
    for name, state in names.items():
        pids = eventually(lambda name=name: len(server.pids(name)) == 11 and server.pids(name))
        eventually(lambda state=state: server.info(state).state == "RUNNING")
        assert psutil.pid_exists(pids[-1])


def test_ten_quick_exits(server):
    """A worker that ends with any code but 3, be it 0 or 1, is started again and again, and runs once it can."""
    for number in (0, 1):
        server.does(f"gpu_worker{number}", f"exit {number}")
    server.start()
    for number in (0, 1):
        eventually(lambda name=f"gpu_worker{number}": len(server.pids(name)) > 10)
        server.does(f"gpu_worker{number}", "")
    for number in (0, 1):
        eventually(
            lambda number=number: (
                psutil.pid_exists(server.pids(f"gpu_worker{number}")[-1])
                and server.info(f"gpu_worker:gpu_worker_{number}").state == "RUNNING"
            )
        )


def test_environment_and_logs(server):
    """Each worker is pinned to its number, settings pass through, and both outputs of all reach stdout."""
    server.start()
    for name, device in (("gateway", None), ("gpu_worker0", 0), ("gpu_worker1", 1)):
        line = f"{name} sees CUDA {device if device is not None else os.environ.get('CUDA_VISIBLE_DEVICES')} and COLOUR red 100%"
        eventually(lambda line=line: line.encode() in server.output)
        eventually(lambda name=name: f"{name} on stderr".encode() in server.output)
    eventually(lambda: f"http://127.0.0.1:{server.port}/".encode() in server.output)


def test_control_is_private(server):
    """Supervisord is controlled over a socket of mode 0700 and listens on no port."""
    server.start()
    assert stat.S_IMODE((server.run_dir / "supervisor.sock").stat().st_mode) == 0o700
    supervisord = psutil.Process(int((server.run_dir / "supervisord.pid").read_text()))
    assert supervisord.net_connections(kind="inet") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop(server, number):
    """Ctrl-C, SIGTERM and a closed terminal end everything: the gateway first, given its time, and with exit code 0."""
    server.does("gateway", "linger 0.5")
    server.start()
    eventually(lambda: server.info("gateway").state == "RUNNING")
    server.process.send_signal(number)
    assert server.end() == 0
    assert server.stops()[0] == "gateway"
    assert sorted(server.stops()) == ["gateway", "gpu_worker0", "gpu_worker1"]


def test_second_interrupt_kills(server):
    """A second Ctrl-C does not wait for a gateway that lingers."""
    server.does("gateway", "linger 60")
    server.start()
    eventually(lambda: server.info("gateway").state == "RUNNING")
    server.process.send_signal(signal.SIGINT)
    eventually(lambda: b" to die" in server.output)
    server.process.send_signal(signal.SIGINT)
    assert server.end() == 0
    assert "gateway" not in server.stops()


def test_supervisord_killed(server):
    """When supervisord is killed its processes end too, and the start ends with an error."""
    server.start()
    os.kill(int((server.run_dir / "supervisord.pid").read_text()), signal.SIGKILL)
    assert server.end() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_launcher_killed(server):
    """When the launcher is killed everything ends, and the run directory can be used again."""
    server.start()
    server.process.kill()
    assert server.end() == -signal.SIGKILL
    eventually(lambda: not (server.run_dir / "supervisord.pid").exists())
    code = "from pathlib import Path; import sys; from scripts.server.supervise import hold; hold(Path(sys.argv[1]))"
    assert run([sys.executable, "-c", code, str(server.run_dir)]).returncode == 0


def test_gateway_never_starts(server):
    """A gateway that exits with 3 ends the whole start with 3."""
    server.does("gateway", "exit 3")
    server.start()
    assert server.end() == 3
    assert b"The gateway cannot start" in server.output
    assert len(server.pids("gateway")) == 1


def test_one_instance(server):
    """A second start with the same run directory says so and leaves the first alone."""
    server.start()
    second = run([sys.executable, "-m", "scripts.server.supervise"], env=server.environment())
    assert second.returncode == 1
    assert str(server.run_dir) in second.stderr
    assert "running already" in second.stderr
    assert server.info("gateway").state == "RUNNING"

"""``scripts/verify_scaling`` as a process: on good servers, and on some with a fault. That real weights pass is told by `test_whole`."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time

import pytest

from tests.system.server import GATEWAY, ROOT, Server, eventually
from tests.system.talk import Talk
from tests.system.verifying import command, failed, measured, verify

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

FAULTY_GATEWAY = (sys.executable, "-m", "tests.system.faulty_gateway")
UNLOAD_S = 1
SMALL = {"workers": 2, "SLOTS_PER_GPU": "2"}


class ServerWithFault(Server):
    """The real gateway and worker with a scripted recognizer that has weights; one of them may have a fault."""

    def __init__(self, run_dir, *, workers=4, fault="", worker_fault=None, **settings):
        self._fault = fault
        super().__init__(
            run_dir,
            workers=workers,
            recognizer={"by_position": True, "weights_mb": 64, "load_s": 0.05} | (worker_fault or {}),
            MODEL_IDLE_UNLOAD_S=str(UNLOAD_S),
            STEP_MIN_S="0.3",
            GATEWAY_FAULT=fault,
            **settings,
        )

    def launch_gateway(self):
        """Start the gateway, the faulty one if there is a fault, and return at once."""
        self.gateway = self.start_process(FAULTY_GATEWAY if self._fault else GATEWAY, {})
        return self.gateway


@pytest.fixture
def start(tmp_path):
    """Give a function that starts a server."""
    with contextlib.ExitStack() as running:
        servers = []

        def begin(**options):
            server = running.enter_context(ServerWithFault(tmp_path / f"run{len(servers)}", **options))
            servers.append(server)
            server.run_dir.mkdir(mode=0o700)
            return server.start()

        yield begin
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Give a good server of two workers with two slots each, shared."""
    with ServerWithFault(tmp_path_factory.mktemp("small") / "run", workers=2, SLOTS_PER_GPU="2") as server:
        server.run_dir.mkdir(mode=0o700)
        yield server.start()
        server.stop()


def test_without_a_fault_all_checks_pass(start):
    """The server that the faults go into passes all checks as long as it has none."""
    done, result = verify(start())
    assert done.returncode == 0, done.stdout + done.stderr
    assert {check["verdict"] for check in result["checks"]} == {"pass"}


@pytest.mark.parametrize(
    ("fault", "settings", "wanted", "says"),
    [
        ("first_gpu", {}, {"Test 2", "Check 1", "Check 2", "Criterion 1"}, {"Check 1": "[4, 4, 0, 0]"}),
        (
            "surplus",
            {"SLOTS_PER_GPU": "5"},
            {"Test 3", "Check 5", "Criterion 5"},
            {"Test 3": "16 ready, 17th not refused, critical", "Criterion 5": "not rejected, [5, 4, 4, 4]"},
        ),
        ("slow_accept", SMALL, {"Connecting"}, {}),
        ("always_healthy", SMALL, {"Test 3"}, {"Test 3": "4 ready, 5th refused, healthy"}),
    ],
)
def test_gateway_with_a_fault(start, fault, settings, wanted, says):
    """A gateway with one fault fails exactly the checks that are about it, and the exit code says so."""
    server = start(fault=fault, **settings)
    done, result = verify(server)
    assert done.returncode == 1, done.stdout + done.stderr
    assert failed(result) == wanted, done.stdout
    for name, text in says.items():
        assert measured(result, name) == text
    eventually(lambda: not any(server.loads()), what="no session left")


def test_memory_that_stays(start):
    """Workers that never give their memory back fail the criterion about that, and no other."""
    done, result = verify(start(worker_fault={"keeps_weights": True}, **SMALL), "--release-within", "3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert failed(result) == {"Criterion 6"}, done.stdout
    assert measured(result, "Criterion 6").startswith("[0%, 0%]")


def test_one_slow_gpu(start):
    """One GPU whose setup takes ten times as long as the others' fails the check on consistency, measured twice."""
    done, result = verify(start(worker_fault={"load_s": [0.2, 0.2, 2.0, 0.2]}))
    assert done.returncode == 1, done.stdout + done.stderr
    assert failed(result) == {"Check 3"}, done.stdout
    assert "again" in measured(result, "Check 3")


def test_another_shape(small):
    """Two workers with two slots are checked by their own measure, and the output says what was expected."""
    done, result = verify(small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 ready, 5th refused, critical" in done.stdout
    assert (measured(result, "Test 2"), measured(result, "Check 4")) == (
        "[1, 1], as clients were told",
        "healthy at 50 %",
    )
    assert (result["plan"]["slots"], result["plan"]["room"]) == ([2, 2], 4)


async def test_other_peoples_sessions(small):
    """Where somebody is, nothing is done, unless it is wanted anyway: then their place is counted and stays theirs."""
    async with Talk(small) as talk:
        await talk.ready()
        done, result = await asyncio.to_thread(verify, small)
        assert done.returncode == 3
        assert "1 session of others on this server" in done.stdout
        assert (result["checks"], result["exit_code"]) == ([], 3)
        done, result = await asyncio.to_thread(verify, small, "--anyway")
        assert failed(result) == set(), done.stdout + done.stderr
        assert (result["plan"]["base"], result["plan"]["room"]) == ([1, 0], 3)
        assert "3 ready, 4th refused, critical" in done.stdout
        assert small.loads() == [1, 0]
    await asyncio.to_thread(small.wait_loads, 0, 0)


async def test_somebody_comes_meanwhile(small):
    """Who comes while it runs ends it: its own sessions leave at once, and it says why."""
    process = await asyncio.create_subprocess_exec(
        *command(small, "--seconds", "60"), cwd=ROOT, env=small._env, stdout=-1, stderr=-1
    )
    await asyncio.to_thread(eventually, lambda: any(small.loads()), 30, "a session")
    async with Talk(small) as talk:
        await talk.ready()
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 3, out + err
        assert b"1 session of others came meanwhile" in out
        assert small.loads() == [0, 1]
    await asyncio.to_thread(small.wait_loads, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(small, number):
    """Ctrl-C or a stop while all speak leaves no session behind, and prints what is known."""
    with subprocess.Popen(
        command(small, "--seconds", "60"), cwd=ROOT, env=small._env, stdout=-1, stderr=-1, text=True
    ) as process:
        eventually(lambda: small.loads() == [2, 2], 30, "all sessions")
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, out + err
    assert small.loads() == [0, 0]
    assert small.get("/gpu-status")["graced_connection_ids"] == []
    assert "PASS  Test 1" in out
    assert "no session was left behind" in out


def test_no_server(small):
    """Without a server, or with one that is none, it says so in a line."""
    for url in ("http://127.0.0.1:9", f"{small.http_url}/nowhere"):
        done = subprocess.run(
            [sys.executable, "scripts/verify_scaling", "--url", url],
            cwd=ROOT,
            env=small._env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 3
        assert done.stdout.startswith("Cannot run: ")
        assert "Traceback" not in done.stderr


def test_tokens(start):
    """A server that asks for tokens is checked with the right ones; without either one that is said, and none is printed."""
    operators, clients = "open-sesame", "swordfish"
    server = start(workers=1, SLOTS_PER_GPU="2", MONITOR_TOKEN=operators, API_TOKENS=clients)
    server._env.pop("MONITOR_TOKEN")
    done, result = verify(server)
    assert (done.returncode, result["checks"]) == (3, [])
    assert "does it want another MONITOR_TOKEN?" in done.stdout
    server._env["MONITOR_TOKEN"] = operators
    done, result = verify(server)
    assert done.returncode == 3
    assert "A token is required" in done.stdout
    done, result = verify(server, "--token", clients)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout + json.dumps(result)
    assert not [token for token in (operators, clients) if token in printed]

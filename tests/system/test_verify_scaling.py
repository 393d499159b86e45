"""What ``scripts/verify_scaling`` says of good servers and of some with a fault; of real weights: `test_whole`."""

import asyncio
import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.system.server import eventually
from tests.system.talk import Talk
from tests.system.verifying import ServerWithFault, failed, measured, verify

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SMALL = {"workers": 2, "SLOTS_PER_GPU": "2"}


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


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a server, the checks that must fail for it, and patterns of what was measured."""

    server: dict
    fails: set[str]
    says: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "faults",
    [
        [
            Fault(
                {"fault": "first_gpu"}, {"Test 2", "Check 1", "Check 2", "Criterion 1"}, {"Check 1": r"\[4, 4, 0, 0\]"}
            ),
            Fault(
                {"fault": "surplus", "SLOTS_PER_GPU": "5"},
                {"Test 3", "Check 5", "Criterion 5"},
                {"Test 3": "16 ready, 17th not refused, critical", "Criterion 5": r"not rejected, \[5, 4, 4, 4\]"},
            ),
        ],
        [
            Fault({"fault": "slow_accept", **SMALL}, {"Connecting"}),
            Fault({"fault": "always_healthy", **SMALL}, {"Test 3"}, {"Test 3": "4 ready, 5th refused, healthy"}),
            Fault(
                {"worker_fault": {"keeps_weights": True}, **SMALL},
                {"Criterion 6"},
                {"Criterion 6": r"\[0%, 0%\].*"},
                ("--release-within", "3"),
            ),
        ],
    ],
    ids=["four workers", "two workers"],
)
def test_faults_are_found(start, faults):
    """Servers with one fault each, checked at once, fail exactly the checks that are about it; the exit code says so."""
    servers = [start(**fault.server) for fault in faults]
    with ThreadPoolExecutor() as at_once:
        found = list(at_once.map(lambda server, fault: verify(server, *fault.options), servers, faults))
    for fault, server, (done, result) in zip(faults, servers, found, strict=True):
        assert done.returncode == 1, done.stdout + done.stderr
        assert failed(result) == fault.fails, done.stdout
        for name, pattern in fault.says.items():
            assert re.fullmatch(pattern, measured(result, name)), measured(result, name)
        eventually(lambda server=server: not any(server.loads()), what="no session left")


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


async def test_under_another_session(small):
    """Under another session nothing is done, unless it is wanted anyway: then its slot is counted and stays its own."""
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

"""scripts/status: what it reads, what it shows in 80 columns, and with which code it ends."""

import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from rich.console import Console

from gateway.monitoring.history import EventLog, RollingHistory
from gateway.monitoring.monitor_state import monitor_state
from gateway.monitoring.snapshot import SessionSnapshot, take_snapshot
from gateway.placement.workers import WorkerRegistry
from scripts.ops.screen import WIDTH, State, screen, sentence
from scripts.ops.status import as_object
from scripts.tools.server_api import AnswerError, Event, MonitorState, read
from scripts.tools.supervisord import Process
from shared.messages import MemoryReport
from tests.gateway.builders import GIB, heartbeat, register
from tests.system.server import ROOT, Server, environment, eventually, run

NOW = datetime(2026, 11, 22, 20, 1, 2, tzinfo=UTC)
SUPERVISED = """
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile=%(here)s/supervisord.pid
[unix_http_server]
file=%(here)s/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:gateway]
command=sleep 100
startsecs=0
[program:gpu_worker_0]
command=sh -c "exit 3"
startsecs=0
autorestart=unexpected
exitcodes=3
"""


def spoken(registry, *sessions, events=None, model_at=1_000_000.0):
    """Return the body of /monitor/state as the gateway's cores make it, sent over JSON."""
    body = monitor_state(take_snapshot(registry, sessions), at=model_at, uptime_s=90_061, slots_per_gpu=4)
    whole = body | {"history": RollingHistory().body(0.0), "events": (events or EventLog()).body()}
    return json.loads(json.dumps(whole))


def session(name, state, lease, age_s, lag_s):
    return SessionSnapshot(id=name, state=state, lease=lease, age_s=age_s, lag_s=lag_s, attached=True)


def answered(body):
    return read(MonitorState, "/monitor/state", body)


def crowded(slots=4, gpus=4):
    """Return a body with every slot taken, a lot of memory, and every kind of event with long words."""
    registry, sessions, events = WorkerRegistry(range(gpus), lost_after_s=2.0), [], EventLog()
    for gpu_id in range(gpus):
        registry.register(b"%d" % gpu_id, register(gpu_id, slots=slots, model="large-v3-turbo" * 5), 0.0)
        memory = MemoryReport(141 * GIB, 120 * GIB, 21 * GIB, 20 * GIB, 100.0)
        registry.heartbeat(b"%d" % gpu_id, heartbeat(memory=memory), 0.0)
    for number in range(gpus * slots):
        grant = registry.acquire(f"{number:08x}-and-more", 0.0)
        sessions.append(session(f"{number:08x}-and-more", "finishing", grant.id, 14_399.0, 123.4))
    for kind in ("allocated", "moved", "ended", "failed", "refused", "lost", "serving", "draining", "odd"):
        events.note(1_000_000.0, kind, session="0123456789", gpu_id=3, from_gpu=1, detail="word_" * 30)
    return spoken(registry, *sessions, events=events)


def printed(state, lines=40):
    """Return the lines of a screen as a terminal without colours gets them."""
    console = Console(file=io.StringIO(), width=WIDTH, height=lines, highlight=False)
    console.print(screen(state, NOW, lines))
    return console.file.getvalue().splitlines()


PROCESSES = (
    Process("gateway", "RUNNING", 4_194_303, 86_399.0, None),
    *(Process(f"gpu_worker_{number}", "RUNNING", 4_000_000 + number, 59.0, None) for number in range(3)),
    Process("gpu_worker_3", "EXITED", None, None, 3),
)


@pytest.mark.parametrize("processes", [PROCESSES, "There is no supervisord at " + "/long" * 30], ids=["up", "down"])
@pytest.mark.parametrize("slots", [4, 16])
def test_all_fits_in_eighty_columns(slots, processes):
    """However full it is, no line is longer than 80 columns, none is broken, and every session is there."""
    lines = printed(State("http://" + "a" * 90, answered(crowded(slots)), processes))
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    assert all(f"{number:08x}" in text for number in range(4 * slots))
    assert [line.split()[:2] for line in lines if line[:1] in "0123" and "serving" in line] == [
        [str(gpu_id), "serving"] for gpu_id in range(4)
    ]
    if processes is PROCESSES:
        sessions = [line for line in lines if "finishing" in line]
        assert len(sessions) == 2 * slots
        assert any("gpu_worker_3  EXITED   exit 3" in line for line in lines)


def test_the_events_take_what_is_left():
    """A tall terminal shows more events, a low one three, and neither more lines than it has if it can be helped."""
    state = State("http://x", answered(crowded()), PROCESSES)
    tall, low = printed(state, 40), printed(state, 10)
    assert len(tall) <= 40
    assert sum(line[2:3] == ":" == line[5:6] for line in tall) == 9
    assert sum(line[2:3] == ":" == line[5:6] for line in low) == 3


def test_what_the_gateway_says_is_read():
    """Health, slots, memory and weights come from the gateway's own body; the screen shows them."""
    registry = WorkerRegistry(range(2), lost_after_s=2.0)
    registry.register(b"0", register(0), 0.0)
    registry.heartbeat(b"0", heartbeat(memory=MemoryReport(16 * GIB, 7 * GIB, 9 * GIB, 9 * GIB, 37.4)), 0.0)
    lease = registry.acquire("0123456789", 0.0)
    seen = answered(spoken(registry, session("0123456789", "ready", lease.id, 5.0, 0.25)))
    assert (seen.status, seen.used_slots, seen.total_slots) == ("healthy", 1, 4)
    lines = printed(State("http://x", seen, ()))
    assert lines[1].split("  ") == ["healthy", "1/4 slots", "1 of 2 GPUs", "lag 0.2 s", "setup -", "up 1 d 1 h"]
    gpu = next(line for line in lines if line.startswith("0 "))
    assert " ".join(gpu.split()) == "0 serving ■□□□ 1/4 7.00 of 16 GB 37 % 0.0 s 1 device"
    assert any(line.split() == ["GPU", "0", "01234567", "ready", "0:05", "0.2", "s"] for line in lines)
    assert any(line.split()[:3] == ["1", "expected", "□□□□"] for line in lines)


def test_another_server_is_not_believed():
    """A body that lacks something is refused by name, not shown as zeros."""
    with pytest.raises(AnswerError, match=r"does not answer like our gateway: .*'elsewhere'"):
        answered({key: value for key, value in crowded().items() if key != "elsewhere"})


def test_no_control_character_reaches_the_terminal():
    """A server cannot move the cursor or colour a screen that shows it."""
    body = crowded() | {"model": "tiny\x1b[2J"}
    text = "".join(printed(State("http://x", answered(body), ())))
    assert "\x1b" not in text
    assert "tiny?[2J" in text


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Event(0, "allocated", "a", 2, None, None, 1), "a got a slot on GPU 2"),
        (Event(0, "moved", "a", 2, 1, "worker_lost, 9 ms", 1), "a moved, GPU 1 -> GPU 2 (worker lost, 9 ms)"),
        (Event(0, "moved", "a", 2, None, "resume, 9 ms", 1), "a is back on GPU 2 (resume, 9 ms)"),
        (Event(0, "refused", None, None, None, "no_capacity", 3), "3 sessions were refused (no capacity)"),
        (Event(0, "refused", "a", None, None, "bad_token", 1), "a session was refused (bad token)"),
        (Event(0, "lost", None, 1, None, "silent for 2.1 s", 1), "GPU 1 is lost (silent for 2.1 s)"),
        (Event(0, "stopped", None, 1, None, None, 1), "GPU 1 has stopped"),
        (Event(0, "serving", None, 1, None, "gpu1", 1), "GPU 1 serves"),
    ],
)
def test_sentences(event, words):
    """Each kind of event is a sentence."""
    assert sentence(event) == words


@pytest.mark.parametrize(("health", "healthy"), [("healthy", True), ("degraded", True), ("critical", False)])
def test_the_verdict(health, healthy):
    """Degraded is still served; critical and silence are not."""
    gateway = answered(crowded() | {"status": health})
    state = State("http://x", gateway, PROCESSES)
    assert state.healthy is healthy
    assert as_object(state)["healthy"] is healthy
    silent = State("http://x", "nobody answers", "no supervisord")
    assert not silent.healthy
    assert as_object(silent)["errors"] == ["nobody answers", "no supervisord"]
    assert as_object(silent)["gateway"] is as_object(silent)["processes"] is None


def status(*arguments, **env):
    return run([sys.executable, "scripts/status", *arguments], env=environment(env))


@pytest.mark.system
def test_without_a_server(tmp_path):
    """Without a gateway and a supervisord it says both plainly and ends with 1; a wrong option ends with 2."""
    done = status("--url", "http://127.0.0.1:9", "--run-dir", str(tmp_path))
    assert done.returncode == 1
    assert "nothing listens at http://127.0.0.1:9; is scripts/serve running" in done.stdout
    assert "There is no supervisord at" in done.stdout
    assert done.stderr == ""
    assert status("--urn", "x").returncode == 2


@pytest.mark.system
def test_a_running_server(tmp_path):
    """With a real gateway and a real supervisord it shows both, on the screen, as JSON and again and again."""
    (tmp_path / "supervisord.conf").write_text(SUPERVISED)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(tmp_path / "supervisord.conf")]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisord,
        Server(tmp_path, workers=1, MONITOR_TOKEN="sesame") as server,
    ):
        try:
            server.start()
            options = ("--url", server.http_url, "--run-dir", str(tmp_path))
            refused = status(*options)
            assert (refused.returncode, "(HTTP 401)" in refused.stdout) == (1, True)

            def both():
                done = status(*options, "--json", MONITOR_TOKEN="sesame")
                body = json.loads(done.stdout)
                states = {each["name"]: each["state"] for each in body["processes"] or ()}
                return (done, body) if states == {"gateway": "RUNNING", "gpu_worker_0": "EXITED"} else None

            done, body = eventually(both, 20, "supervisord")
            assert (done.returncode, body["healthy"], body["errors"]) == (0, True, [])
            assert body["gateway"]["gpus"][0]["state"] == "serving"
            assert [each["exit_status"] for each in body["processes"]] == [None, 3]

            done = status(*options, "--token", "sesame")
            assert done.returncode == 0
            lines = done.stdout.splitlines()
            assert max(map(len, lines)) <= WIDTH
            assert lines[1].startswith("healthy  0/4 slots  1 of 1 GPUs")
            assert any("gpu_worker_0  EXITED   exit 3" in line for line in lines)
            watched(server, options)
            server.stop()
        finally:
            supervisord.terminate()


def watched(server, options):
    """Watch the server: a line each time, the change of a lost worker among them; Ctrl-C ends it."""
    env = environment({"MONITOR_TOKEN": "sesame"}) | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "scripts/status", *options, "--watch", "--every", "0.2", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as watch:
        assert json.loads(watch.stdout.readline())["healthy"] is True
        server.workers[0].terminate()
        deadline = time.monotonic() + 60
        while json.loads(watch.stdout.readline())["healthy"]:
            assert time.monotonic() < deadline
        os.kill(watch.pid, 2)
        watch.communicate(timeout=60)
        assert watch.returncode == 1
        assert server.workers[0].wait(60) == 0  # told once more while it leaves it would be ended by the signal

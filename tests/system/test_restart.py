"""``scripts/restart_gpu_worker`` on a server under supervisord, with the scripted recognizer."""

import asyncio
import re
import sys

import psutil
import pytest

from scripts.tools.supervisord import Supervisord
from tests.system.server import run
from tests.system.sessions import Text, open_sessions
from tests.system.supervised import Supervised

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

TEXT = Text(2)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """Give two scripted workers under supervisord."""
    run_dir = tmp_path_factory.mktemp("run") / "run"
    settings = {"STOP_WAIT_S": "20", "DRAIN_S": "3", "STEP_MIN_S": "0.2"}
    with Supervised(run_dir, scripted=True, workers=2, **settings) as server:
        yield server.start()
        server.stop()


def restart(server, *arguments):
    """Run the script against a server; return the finished process."""
    command = [sys.executable, "scripts/restart_gpu_worker", "--url", server.http_url, "--run-dir", str(server.run_dir)]
    return run([*command, *arguments], timeout=280, env=server._env)


def boots(server):
    """Return each worker's present life."""
    return [gpu["boot"] for gpu in server.get("/gpu-status")["gpus"]]


async def test_rolling_restart(scripted):
    """Each worker in turn is restarted under four sessions: all are moved, the script says so, no word is lost."""
    before = boots(scripted)
    async with open_sessions(scripted, 4) as talks:
        speaking = TEXT.send(talks)
        await talks[0].words(3)
        done = await asyncio.to_thread(restart, scripted, "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert done.stdout.count("serves again") == 2
        gaps = [int(gap) for gap in re.findall(r"(\d+) ms without a worker  \(drain\)", done.stdout)]
        assert len(gaps) >= 4
        assert max(gaps) < 5000  # a start of a worker on a crowded machine takes longer
        for talk in talks:
            assert talk.messages[0]["session"] in done.stdout
        await speaking
        await TEXT.finish(talks)
    assert all(new != old for new, old in zip(boots(scripted), before, strict=True))
    assert [entry["sessions"] for entry in scripted.log.find("worker_lost", reason="stopped")] == [0, 0]


async def test_refusals(scripted):
    """It refuses in words, and does nothing, when the sessions would have no room, for a number that is not there, and without a server."""
    before = boots(scripted)
    async with open_sessions(scripted, 6):
        refused = await asyncio.to_thread(restart, scripted, "0")
        assert refused.returncode == 2
        assert "GPU worker 0 has 3 sessions, and the others have room for 1." in refused.stderr
    unknown = restart(scripted, "7")
    assert unknown.returncode == 2
    assert "There is no GPU worker 7" in unknown.stderr
    assert restart(scripted).returncode == restart(scripted, "1", "--all").returncode == 2
    lost = restart(scripted, "0", "--run-dir", str(scripted.run_dir / "none"))
    assert lost.returncode == 1
    assert "There is no supervisord" in lost.stderr
    assert boots(scripted) == before


async def test_forced_with_no_room(scripted):
    """Forced, the sessions that find no slot wait in line until the worker is back, and lose no word."""
    async with open_sessions(scripted, 8) as talks:
        for talk in talks:
            await talk.send(TEXT.pcm[: TEXT.half])
        done = await asyncio.to_thread(restart, scripted, "1", "--force")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Going on, as forced" in done.stdout
        assert "4 of 4 sessions kept" in done.stdout
        for talk in talks:
            await talk.send(TEXT.pcm[TEXT.half :])
        await TEXT.finish(talks)


async def test_the_last_worker(scripted):
    """The last worker that serves is not taken down under its sessions, unless forced."""
    # Down for good: supervisord restarts every worker but one that it was told to stop.
    Supervisord(scripted.run_dir)._call("stopProcess", "gpu_worker:gpu_worker_0")
    await asyncio.to_thread(scripted.wait_serving, 1)
    async with open_sessions(scripted, 1) as talks:
        refused = await asyncio.to_thread(restart, scripted, "1")
        assert refused.returncode == 2
        assert "is the last one that serves, and has 1 session." in refused.stderr
        back = await asyncio.to_thread(restart, scripted, "0")
        assert back.returncode == 0, back.stdout + back.stderr
        assert "It is stopped: starting it." in back.stdout
        await talks[0].send(TEXT.pcm)
        await TEXT.finish(talks)


async def test_worker_that_hangs(scripted):
    """A worker that does not stop when told to is killed once its drain is over, and comes back."""
    pid = Supervisord(scripted.run_dir).worker(0).pid
    psutil.Process(pid).suspend()
    await asyncio.to_thread(scripted.wait_serving, 1)
    done = await asyncio.to_thread(restart, scripted, "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killing it" in done.stdout
    assert not psutil.pid_exists(pid)

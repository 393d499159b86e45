"""``scripts/verify_scaling`` that cannot go on: another session comes, it is interrupted, or there is no server."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from tests.system.server import ROOT, eventually, run
from tests.system.talk import Talk
from tests.system.verifying import command

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


async def test_another_session_comes_meanwhile(small):
    """A session that comes while it runs ends it: its own sessions leave at once, and it says why."""
    process = await asyncio.create_subprocess_exec(
        *command(small, "--seconds", "60"), cwd=ROOT, env=small._env, stdout=-1, stderr=-1
    )
    await asyncio.to_thread(eventually, lambda: any(small.loads()), 90, "a session")
    async with Talk(small) as talk:
        await talk.ready()
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 3, out + err
        assert b"1 session of others came meanwhile" in out
        assert small.loads() == [0, 1]
    await asyncio.to_thread(small.wait_loads, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(small, number):
    """Ctrl-C or SIGTERM while all speak leaves no session behind, and prints what is known."""
    with subprocess.Popen(
        command(small, "--seconds", "60"), cwd=ROOT, env=small._env, stdout=-1, stderr=-1, text=True
    ) as process:
        eventually(lambda: small.loads() == [2, 2], 90, "all sessions")
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130, out + err
    assert small.loads() == [0, 0]
    assert small.get("/gpu-status")["graced_connection_ids"] == []
    assert "PASS  Test 1" in out
    assert "no session was left behind" in out


def test_no_server(small):
    """Without a server, or with one that is none, it says so in a line."""
    for url in ("http://127.0.0.1:9", f"{small.http_url}/nowhere"):
        done = run([sys.executable, "scripts/verify_scaling", "--url", url], env=small._env, timeout=90)
        assert done.returncode == 3
        assert done.stdout.startswith("Cannot run: ")
        assert "Traceback" not in done.stderr

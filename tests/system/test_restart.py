"""``scripts/restart_gpu_worker`` on a server under supervisord, with the scripted recognizer and with real weights."""

import asyncio
import contextlib
import re
import subprocess
import sys

import jiwer
import psutil
import pytest
from whisper.normalizers import EnglishTextNormalizer

from scripts.tools.supervisord import Supervisord
from shared.clips import load_clips
from tests.system.crowd import Poem, speakers
from tests.system.server import ROOT, Server, eventually
from tests.system.supervised import Supervised, launch
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

POEM = Poem(2)


class Scripted(Supervised):
    """Two scripted workers under supervisord with the shipped configuration, but for the workers' command."""

    def __init__(self, run_dir, **settings):
        Server.__init__(
            self,
            run_dir,
            workers=2,
            SERVER_PYTHON=sys.executable,
            STOP_WAIT_S="20",
            DRAIN_S="3",
            STEP_MIN_S="0.2",
            **settings,
        )

    def start(self):
        """Start everything and wait until all slots are served."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        conf = (ROOT / "supervisord.conf").read_text()
        for shipped, ours in (
            ("-m gpu_worker", "-m tests.system.scripted_worker"),
            ("directory=%(here)s", f"directory={ROOT}"),
        ):
            assert shipped in conf
            conf = conf.replace(shipped, ours)
        file = self.run_dir / "scripted.conf"
        file.write_text(conf)
        self.launcher = self.start_process(launch(file), {})
        self.wait_for_gateway(self.launcher)
        self.wait_serving(2)
        return self


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """Give the scripted server."""
    with Scripted(tmp_path_factory.mktemp("run") / "run") as server:
        yield server.start()
        server.stop()


def restart(server, *arguments):
    """Run the script against a server; return the finished process."""
    command = [sys.executable, "scripts/restart_gpu_worker", "--url", server.http_url, "--run-dir", str(server.run_dir)]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False, env=server._env
    )


def boots(server):
    """Return each worker's present life."""
    return [gpu["boot"] for gpu in server.get("/gpu-status")["gpus"]]


async def test_rolling_restart(scripted):
    """Each worker in turn is restarted under four people who speak: all are moved, the script says so, no word is lost."""
    before = boots(scripted)
    async with speakers(scripted, 4) as talks:
        speaking = POEM.speak(talks)
        await talks[0].words(3)
        done = await asyncio.to_thread(restart, scripted, "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert done.stdout.count("serves again") == 2
        gaps = [int(gap) for gap in re.findall(r"(\d+) ms without a worker  \(drain\)", done.stdout)]
        assert len(gaps) >= 4
        assert max(gaps) < 1000
        for talk in talks:
            assert talk.messages[0]["session"] in done.stdout
        await speaking
        await POEM.all_done(talks)
    assert all(new != old for new, old in zip(boots(scripted), before, strict=True))
    assert [entry["sessions"] for entry in scripted.log.find("worker_lost", reason="stopped")] == [0, 0]


async def test_refusals(scripted):
    """It refuses in words, and does nothing, when the sessions would have no room, for a number that is not there, and without a server."""
    before = boots(scripted)
    async with speakers(scripted, 6):
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
    async with speakers(scripted, 8) as talks:
        for talk in talks:
            await talk.send(POEM.pcm[: POEM.half])
        done = await asyncio.to_thread(restart, scripted, "1", "--force")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Going on, as forced" in done.stdout
        assert "4 of 4 sessions kept" in done.stdout
        for talk in talks:
            await talk.send(POEM.pcm[POEM.half :])
        await POEM.all_done(talks)


async def test_the_last_worker(scripted):
    """The last worker that serves is not taken down under its sessions, unless forced."""
    # Down for good: supervisord restarts every worker but one that it was told to stop.
    Supervisord(scripted.run_dir)._call("stopProcess", "gpu_worker:gpu_worker_0")
    await asyncio.to_thread(scripted.wait_serving, 1)
    async with speakers(scripted, 1) as talks:
        refused = await asyncio.to_thread(restart, scripted, "1")
        assert refused.returncode == 2
        assert "is the last one that serves, and has 1 session." in refused.stderr
        back = await asyncio.to_thread(restart, scripted, "0")
        assert back.returncode == 0, back.stdout + back.stderr
        assert "It is stopped: starting it." in back.stdout
        await talks[0].send(POEM.pcm)
        await POEM.all_done(talks)


async def test_worker_that_hangs(scripted):
    """A worker that does not stop when told to is killed once its drain is over, and comes back."""
    pid = Supervisord(scripted.run_dir).worker(0).pid
    psutil.Process(pid).suspend()
    await asyncio.to_thread(scripted.wait_serving, 1)
    done = await asyncio.to_thread(restart, scripted, "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killing it" in done.stdout
    assert not psutil.pid_exists(pid)


# --- real weights -------------------------------------------------------------------------------------------

normalize = EnglishTextNormalizer()


class Pair(Supervised):
    """Two real workers with real weights: what four need on a small machine is time, not more code."""

    def __init__(self, run_dir):
        Server.__init__(self, run_dir, workers=2, WHISPER_MODEL="tiny.en")

    def wait_serving(self, workers, limit_s=120):
        """Wait until both serve."""
        super().wait_serving(2, limit_s)


async def speak_until(done, talk, clip):
    """Say the clip again and again until all is done; return how often, and in how many samples."""
    piece = clip.pcm() + bytes(16_000)
    rounds = 0
    while not (done.is_set() and rounds):
        await talk.send(piece, real_time=True)
        rounds += 1
    return rounds, rounds * len(piece) // 2


async def restarted_under_speech(server):
    """Have three people speak while a worker is killed mid-sentence and then all are restarted in turn."""
    clips, done = load_clips()[:3], asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        talks = [await (await stack.enter_async_context(Talk(server))).ready() for _ in clips]
        speaking = [asyncio.create_task(speak_until(done, talk, clip)) for talk, clip in zip(talks, clips, strict=True)]
        await talks[0].words(3, 30)
        pid = Supervisord(server.run_dir).worker(talks[0].gpu_id).pid
        psutil.Process(pid).kill()
        await talks[0].until(lambda talk: talk.of("moved"))
        await asyncio.to_thread(server.wait_serving, 2)
        rolled = await asyncio.to_thread(restart, server, "--all")
        assert rolled.returncode == 0, rolled.stdout + rolled.stderr
        done.set()
        for talk, clip, spoken in zip(talks, clips, await asyncio.gather(*speaking), strict=True):
            rounds, samples = spoken
            await talk.finish()
            books = await talk.done(30)
            assert (books["received"], books["dropped"]) == (samples, 0)
            heard = normalize(talk.text)
            assert jiwer.wer(" ".join([normalize(clip.text)] * rounds), heard) < 0.1, heard
        return server.get("/performance")["recent_moves"]


def test_real_weights(tmp_path):
    """With real weights, a worker killed mid-sentence and a rolling restart lose and double no word."""
    with Pair(tmp_path / "run") as server:
        server.start()
        moves = asyncio.run(asyncio.wait_for(restarted_under_speech(server), 220))
        assert {"worker_lost", "drain"} <= {move["reason"] for move in moves}
        assert all(0 < move["gap_ms"] < 3000 for move in moves)
        eventually(lambda: server.loads() == [0, 0], what="empty workers")
        server.stop()

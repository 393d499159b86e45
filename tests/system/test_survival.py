"""Sessions that outlive their workers, as real processes; the recognizer is scripted, with faults."""

import asyncio
import signal

import pytest

from tests.scripted_recognizer import POISON, say
from tests.system.sessions import Text, moves_of, open_sessions, restarting_workers
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TEXT = Text()
PCM = TEXT.pcm


@pytest.fixture(scope="module")
def four(start_server):
    """Give four workers of four slots without faults, patient enough for a machine that does much else."""
    return start_server(STEP_MIN_S="0.2", WORKER_LOST_S="5")


@pytest.fixture(autouse=True)
def _restored(request):
    """Start again what a test on the shared server has killed."""
    yield
    if "four" in request.fixturenames:
        request.getfixturevalue("four").restore()


# --- workers that die ---------------------------------------------------------------------------------------


async def test_killed_during_load(start_server):
    """A worker killed while it loads for a session: another loads for it, and no word said meanwhile is lost."""
    server = start_server(workers=2, recognizer={"load_s": 1.5}, MODEL_IDLE_UNLOAD_S="0")
    async with Talk(server) as talk:
        await talk.until(lambda talk: "Loading models on GPU 0..." in talk.statuses)
        await talk.send(PCM)
        server.signal_worker(0, signal.SIGKILL)
        await talk.until(lambda talk: "Loading models on GPU 1..." in talk.statuses)
        await talk.ready()
        await talk.finish()
        (last,) = await talk.until(lambda talk: talk.of("ready_to_stop"))
        TEXT.check(talk, last["audio"])
        assert talk.of("moved") == []
    assert moves_of(server, [talk]) == []


async def test_a_load_that_never_ends(start_server):
    """A worker that lives but never ends its load is left by its session, and takes no other until it has loaded."""
    server = start_server(workers=2, recognizer={"stalls": [0]}, OPEN_WAIT_S="1", DRAIN_S="1")
    async with Talk(server) as talk, Talk(server) as another:
        await talk.until(lambda talk: "Loading models on GPU 0..." in talk.statuses)
        await talk.send(PCM)
        await talk.until(lambda talk: talk.statuses[-2:] == ["Loading models on GPU 1...", "Ready to transcribe"])
        await talk.finish()
        (last,) = await talk.until(lambda talk: talk.of("ready_to_stop"))
        TEXT.check(talk, last["audio"])
        await another.ready()
        assert another.gpu_id == 1
        assert [gpu["state"] for gpu in server.get("/gpu-status")["gpus"]] == ["lost", "serving"]
    (lost,) = server.log.find("worker_lost")
    assert (lost["worker"], "loads its weights" in lost["reason"]) == ("gpu0", True)
    assert len(server.log.find("worker_registered", worker="gpu0")) == 1


async def test_killed_during_flush(start_server):
    """A worker killed between the end of the audio and its last words: another says them."""
    server = start_server(workers=2, recognizer={"step_s": 0.4}, STEP_MIN_S="0.2")
    async with open_sessions(server, 2) as talks:
        for talk in talks:
            await talk.send(PCM)
            await talk.finish()
        await talks[0].words(3)
        server.signal_worker(0, signal.SIGKILL)
        assert not talks[0].of("ready_to_stop")
        for talk in talks:
            TEXT.check(talk, await talk.done())
        assert [move["reason"] for move in moves_of(server, talks)] == ["worker_lost"]


async def test_broken_workers(start_server):
    """Of three workers one raises on every step and one never ends its first: both are left, and end themselves."""
    server = start_server(workers=3, recognizer={"raises": [0], "hangs": [1]}, STEP_MIN_S="0.2")
    async with open_sessions(server, 3) as talks:
        assert [talk.gpu_id for talk in talks] == [0, 1, 2]
        for talk in talks:
            await talk.send(PCM)
        await TEXT.finish(talks, 30)
        assert {talk.gpu_id for talk in talks} == {2}
        reasons = {move["reason"] for move in moves_of(server, talks)}
        assert {"stream_failed", "worker_lost"} <= reasons
    (lost,) = server.log.find("worker_lost", worker="gpu1")
    assert "stuck in a step" in lost["reason"]
    assert await asyncio.to_thread(server.workers[1].wait, 20) == 1
    assert server.log.find("step_endless")
    # While it was stuck it was not taken back.
    assert len(server.log.find("worker_registered", worker="gpu1")) == 1


async def test_poison(start_server):
    """Audio that kills its worker each time ends its own session after three; the innocent beside it lose no word."""
    server = start_server(workers=2, recognizer={"deadly": True}, STEP_MIN_S="0.2", WORKER_LOST_S="4")
    async with restarting_workers(server) as ends, open_sessions(server, 5) as talks, Talk(server) as sick:
        await sick.ready()
        speaking = TEXT.send(talks)
        await talks[0].words(3)
        await sick.send(say(["apple", POISON, "river"]).pcm.tobytes())
        assert await sick.ended() == 1011
        assert [code for code, _ in sick.errors] == ["recognition_failed"]
        await speaking
        await TEXT.finish(talks)
    assert ends == 3 * [-signal.SIGKILL]
    await asyncio.to_thread(server.wait_serving, 2)


async def test_a_newcomer_does_not_wait_for_a_step(start_server):
    """With the weights on the device a session is ready at once, however long the step that runs for another takes."""
    server = start_server(workers=1, recognizer={"step_s": 8.0})
    async with Talk(server) as talk:
        await talk.ready()
        await talk.send(PCM)
        await asyncio.sleep(1.5)
        async with Talk(server) as newcomer:
            await newcomer.ready()
            loaded = server.log.wait("engine_loaded", connection=newcomer.messages[0]["session"])
            assert loaded["load_ms"] < 6000


# --- workers that come back ---------------------------------------------------------------------------------


async def test_balance_after_a_return(four):
    """When a worker is back, sessions move to it until loads differ by at most one, and lose nothing."""
    four.signal_worker(3, signal.SIGKILL)
    four.workers[3].wait()
    await asyncio.to_thread(four.wait_serving, 3)
    async with open_sessions(four, 7) as talks:
        for talk in talks:
            await talk.send(PCM[: TEXT.half])
        assert four.loads() == [3, 2, 2, 0]
        four.start_worker(3)
        await asyncio.to_thread(four.wait_loads, 2, 2, 2, 1, limit_s=20)
        for talk in talks:
            await talk.send(PCM[TEXT.half :])
        await TEXT.finish(talks)
        assert {move["reason"] for move in moves_of(four, talks)} == {"balance"}

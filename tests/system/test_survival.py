"""Sessions that outlive their workers and their networks, as real processes; the recognizer is scripted, with faults."""

import asyncio
import signal

import pytest

from tests.scripted_recognizer import POISON, say
from tests.system.server import eventually
from tests.system.sessions import Text, moves_of, open_sessions, restarting_workers
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

TEXT = Text()
PCM = TEXT.pcm


@pytest.fixture(scope="module")
def start_faulty(start_server):
    """Give a function that starts a server whose workers have these faults."""

    def start(*, workers=2, settings=None, **faults):
        return start_server(
            workers=workers,
            recognizer=faults,
            STEP_MIN_S="0.2",
            **(settings or {}),
        )

    return start


@pytest.fixture(scope="module")
def four(start_faulty):
    """Give four workers of four slots without faults, patient enough for a machine that does much else."""
    return start_faulty(workers=4, settings={"WORKER_LOST_S": "5"})


@pytest.fixture(autouse=True)
def _restored(request):
    """Start again what a test on the shared server has killed."""
    yield
    if "four" in request.fixturenames:
        request.getfixturevalue("four").restore()


# --- workers that die ---------------------------------------------------------------------------------------


async def test_killed_during_load(start_faulty):
    """A worker killed while it loads for a session: another loads for it, and no word said meanwhile is lost."""
    server = start_faulty(load_s=1.5, settings={"MODEL_IDLE_UNLOAD_S": "0"})
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


async def test_a_load_that_never_ends(start_faulty):
    """A worker that lives but never ends its load is left by its session, and takes no other until it has loaded."""
    server = start_faulty(stalls=[0], settings={"OPEN_WAIT_S": "1", "DRAIN_S": "1"})
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


async def test_killed_during_flush(start_faulty):
    """A worker killed between the end of the audio and its last words: another says them."""
    server = start_faulty(step_s=0.4)
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


async def test_all_workers_at_once(four):
    """All workers killed: every session waits in line, is told so, and goes on when workers are back."""
    async with open_sessions(four, 9) as talks:
        for talk in talks:
            await talk.send(PCM[: TEXT.half])
        await talks[0].words(5)
        for worker in four.workers.values():
            worker.kill()
        for talk in talks:
            await talk.until(lambda talk: talk.statuses[-1] == "Waiting for a free GPU...")
            await talk.send(PCM[TEXT.half :])
        assert sorted(four.get("/gpu-status")["waiting_connection_ids"]) == sorted(
            talk.messages[0]["session"] for talk in talks
        )
        assert four.fetch("/health").status_code == 503
        async with restarting_workers(four):
            await TEXT.finish(talks)


async def test_broken_workers(start_faulty):
    """Of three workers one raises on every step and one never ends its first: both are left, and end themselves."""
    server = start_faulty(workers=3, raises=[0], hangs=[1])
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


async def test_poison(start_faulty):
    """Audio that kills its worker each time ends its own session after three; the innocent beside it lose no word."""
    server = start_faulty(workers=2, deadly=True, settings={"WORKER_LOST_S": "4"})
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


async def test_a_newcomer_does_not_wait_for_a_step(start_faulty):
    """With the weights on the device a session is ready at once, however long the step that runs for another takes."""
    server = start_faulty(workers=1, step_s=4.0)
    async with Talk(server) as talk:
        await talk.ready()
        await talk.send(PCM)
        await asyncio.sleep(1.5)
        async with Talk(server) as newcomer:
            await newcomer.ready()
            loaded = server.log.wait("engine_loaded", connection=newcomer.messages[0]["session"])
            assert loaded["load_ms"] < 2000


# --- workers that leave -------------------------------------------------------------------------------------


async def test_drain_under_speech(four):
    """A worker told to stop under eight sessions leaves none behind: they have moved before it says goodbye."""
    async with open_sessions(four, 8) as talks:
        speaking = TEXT.send(talks)
        await talks[0].words(5)
        known = len(four.log.find("worker_lost", worker="gpu1"))
        four.signal_worker(1, signal.SIGTERM)
        assert await asyncio.to_thread(four.workers[1].wait, 10) == 0
        goodbye = await asyncio.to_thread(four.log.wait, "worker_lost", worker="gpu1", count=known + 1)
        assert (goodbye["reason"], goodbye["sessions"]) == ("stopped", 0)
        moves = [move for move in moves_of(four, talks) if move["reason"] == "drain"]
        assert [move["from_gpu"] for move in moves] == [1, 1]
        assert all(move["gap_ms"] < 1000 for move in moves)
        await speaking
        await TEXT.finish(talks)


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


# --- networks that break ------------------------------------------------------------------------------------


class Resumed(Talk):
    """A session's next connection, with all that the ones before have heard."""

    def __init__(self, server, before):
        config = before.of("config")[-1]
        seq = before.messages[-1]["seq"]
        super().__init__(server, query=f"&resume={config['resume_token']}&last_seq={seq}")
        self.messages = list(before.messages)
        self._before = len(self.messages)

    async def received(self) -> int:
        """Return how many bytes the server has."""
        await self.until(lambda talk: len(talk.messages) > talk._before)
        config = self.messages[self._before]
        assert (config["type"], config["resumed"]) == ("config", True)
        return 2 * config["received"]

    def check(self) -> None:
        """Assert that numbers only grew, over all connections."""
        seqs = [message["seq"] for message in self.messages]
        assert seqs == sorted(set(seqs))


async def test_cut_twice_and_during_a_move(four):
    """A connection is cut, cut again, and cut while its worker dies: the words show no seam."""
    third = len(PCM) // 3 & ~1
    async with Talk(four) as first:
        await first.ready()
        await first.send(PCM[: third + 1])
        await first.words(3)
        await first.cut()
    async with Resumed(four, first) as second:
        at = await second.received()
        assert at <= third
        await second.send(PCM[at : 2 * third])
        await second.words(8)
        await second.cut()
    async with Resumed(four, second) as third_one:
        at = await third_one.received()
        await third_one.send(PCM[at : 2 * third + 8000], real_time=True)
        await third_one.ready()
        four.signal_worker(third_one.gpu_id, signal.SIGKILL)
        await third_one.cut()
    async with Resumed(four, third_one) as last:
        at = await last.received()
        await last.send(PCM[at:], real_time=True)
        await last.finish()
        TEXT.check(last, await last.done())
        assert "worker_lost" in [move["reason"] for move in moves_of(four, [last])]


async def test_cut_before_the_last_words_came(four):
    """A connection cut after the end of the audio: the client comes back and hears the last words and the books."""
    async with Talk(four) as first:
        await first.ready()
        await first.send(PCM)
        await first.finish()
        await first.words(3)
        await first.cut()
    await asyncio.to_thread(eventually, lambda: four.loads() == [0, 0, 0, 0], 10, "the flush without a client")
    async with Resumed(four, first) as again:
        await again.received()
        books = await again.done()
        assert await again.ended() == 1000
        TEXT.check(again, books)

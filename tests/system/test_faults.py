"""Real processes that die, hang, stop and come back under running sessions; the recognizer is scripted."""

import asyncio
import contextlib
import signal
import time

import pytest

from tests.scripted_recognizer import say
from tests.system.server import Server
from tests.system.sessions import VERSE, Text, moves_of, open_sessions
from tests.system.talk import STATUSES, Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TEXT = Text()


@pytest.fixture(scope="module")
def server(start_server):
    """Give four workers with four slots each."""
    return start_server(STEP_MIN_S="0.2")


@pytest.fixture(autouse=True)
def _restored(request):
    """Start again what a test has killed."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").restore()


async def test_killed_workers_lose_no_word(server):
    """Two workers are killed one after the other while eight sessions are sent audio: none loses a word or has one twice."""
    async with open_sessions(server, 8) as talks:
        speaking = TEXT.send(talks)
        await talks[0].words(4)
        server.signal_worker(0, signal.SIGKILL)
        await talks[0].until(lambda talk: talk.of("moved"))
        second = talks[0].gpu_id
        assert second != 0
        await talks[0].words(10)
        server.signal_worker(second, signal.SIGKILL)
        await speaking
        assert all(0 < move["gap_ms"] < 15_000 for move in moves_of(server, talks))
        await TEXT.finish(talks)
        assert len(talks[0].of("moved")) == 2
        assert {talk.gpu_id for talk in talks} == {0, 1, 2, 3} - {0, second}
    lost = server.log.find("worker_lost")
    assert [entry["gpu_id"] for entry in lost[-2:]] == [0, second]


async def test_quick_restart(server):
    """A worker killed and started again before anybody missed it gets its new sessions, not its old ones."""
    async with open_sessions(server, 4) as talks:
        for talk in talks:
            await talk.send(TEXT.pcm[: TEXT.half])
        server.signal_worker(3, signal.SIGKILL)
        server.workers[3].wait()
        server.start_worker(3)
        await talks[3].until(lambda talk: any(status.startswith("Moving") for status in talk.statuses))
        for talk in talks:
            await talk.send(TEXT.pcm[TEXT.half :])
        await TEXT.finish(talks)


async def test_hanging_worker(server):
    """A worker that hangs is lost after two seconds with its slots; when it goes on it is back, empty."""
    async with open_sessions(server, 4) as talks:
        for talk in talks:
            await talk.send(TEXT.pcm[: TEXT.half])
        losses = len(server.log.find("worker_lost", worker="gpu1"))
        server.signal_worker(1, signal.SIGSTOP)
        began = time.monotonic()
        try:
            lost = await asyncio.to_thread(server.log.wait, "worker_lost", worker="gpu1", count=losses + 1)
            assert 1.0 < time.monotonic() - began < 20
            assert "silent" in lost["reason"]
            assert server.get("/health")["capacity"]["total_slots"] == 12
            gpu = server.get("/gpu-status")["gpus"][1]
            assert (gpu["state"], gpu["active_connections"], gpu["slots"]) == ("lost", 0, 0)
            for talk in talks:
                await talk.send(TEXT.pcm[TEXT.half :])
            await TEXT.finish(talks)
        finally:
            server.signal_worker(1, signal.SIGCONT)
        await asyncio.to_thread(server.wait_serving, 4, 5)
        assert server.loads()[1] == 0
    await asyncio.to_thread(server.wait_loads, 0, 0, 0, 0)
    async with open_sessions(server, 4) as again:
        assert [talk.gpu_id for talk in again] == [0, 1, 2, 3]
        for talk in again:
            await talk.send(TEXT.pcm)
        await TEXT.finish(again)


async def test_killed_with_no_room_elsewhere(server):
    """With all slots taken, a killed worker's sessions wait in line, are told so, and go on as others end: no word is lost."""
    async with open_sessions(server, 16) as talks:
        for talk in talks:
            await talk.send(TEXT.pcm[: TEXT.half])
        server.signal_worker(0, signal.SIGKILL)
        waiting = talks[::4]
        others = [talk for talk in talks if talk not in waiting]
        for talk in waiting:
            await talk.until(lambda talk: talk.statuses[-1] == "Waiting for a free GPU...")
        for talk in talks:
            await talk.send(TEXT.pcm[TEXT.half :])
        await TEXT.finish(others)
        await TEXT.finish(waiting)
        assert all(talk.gpu_id != 0 for talk in waiting)


async def test_the_line_has_an_end(tmp_path):
    """A session that waits in line for too long ends with an error in words; what it has said so far stays said."""
    with Server(tmp_path, workers=2, SLOTS_PER_GPU="1", LINE_WAIT_S="1", STEP_MIN_S="0.2") as own:
        own.start()
        speech = say([*VERSE, 1.0])
        async with Talk(own) as waiting, Talk(own) as other:
            for talk in (waiting, other):
                await talk.ready()
            await waiting.send(speech.pcm.tobytes())
            await waiting.until(lambda talk: talk.of("final"))
            own.signal_worker(0, signal.SIGKILL)
            assert await waiting.ended() == 1013
            ((code, sentence),) = waiting.errors
            assert code == "no_capacity"
            assert "no slot became free within 1 s" in sentence
            assert waiting.text == " ".join(VERSE)
            assert await other.say(speech) == waiting.text
        own.stop()


# --- the gateway --------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """Give a server of the test's own, of which nothing runs yet."""
    with Server(tmp_path, workers=2, STEP_MIN_S="0.2") as server:
        yield server


async def test_gateway_flushes_before_it_stops(own):
    """Told to stop, the gateway has every session's last words said, then says why and closes with 1012."""
    own.start()
    boots = [gpu["boots"] for gpu in own.get("/gpu-status")["gpus"]]
    pids = [worker.pid for worker in own.workers.values()]
    speech = say(VERSE)
    async with Talk(own) as events, Talk(own, mode="full") as full:
        for talk in (events, full):
            await talk.ready()
            await talk.send(speech.pcm.tobytes())
            await talk.control("what it answers says that all before is there")
        for talk in (events, full):
            await talk.until(lambda talk: talk.errors)
        own.terminate_gateway()
        for talk in (events, full):
            assert await talk.ended() == 1012
            assert talk.text == " ".join(VERSE)
            assert talk.errors[1:] == [("service_restart", "The service restarts")]
            assert talk.messages[-1]["retry_after_s"] > 0
            assert talk.of("ready_to_stop") == []
    assert await asyncio.to_thread(own.gateway.wait, 10) == 0

    # A new one finds the same workers, which have not been started again.
    own.start_gateway()
    await asyncio.to_thread(own.wait_serving, 2)
    assert [worker.pid for worker in own.workers.values()] == pids
    assert [gpu["boots"] for gpu in own.get("/gpu-status")["gpus"]] == boots
    async with Talk(own) as talk:
        assert await talk.say(speech) == " ".join(VERSE)
    own.stop()


async def test_killed_gateway_leaves_no_orphans(own):
    """After the gateway was killed under all its sessions, a new one has every slot free, and the workers go on."""
    own.start()
    async with open_sessions(own, 8) as talks:
        for talk in talks:
            await talk.send(say(VERSE).pcm.tobytes())
        own.gateway.kill()
        own.gateway.wait()
    own.log.entries.clear()  # the old gateway's leases have no end
    own.start_gateway()
    await asyncio.to_thread(own.wait_serving, 2)
    async with open_sessions(own, 8) as talks:
        assert own.loads() == [4, 4]
        for talk in talks:
            assert await talk.say(say(VERSE)) == " ".join(VERSE)
    own.stop()


async def test_sessions_before_the_first_worker(own):
    """Without any worker yet, health is critical with 503, and sessions wait with all their audio until one comes."""
    own.start_gateway()
    health = own.fetch("/health")
    assert (health.status_code, health.json()["status"]) == (503, "critical")
    assert health.json()["capacity"]["total_slots"] == 0
    speech = say(VERSE)
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(Talk(own)) for _ in range(3)]
        for talk in talks:
            await talk.send(speech.pcm.tobytes())
            await talk.finish()
            await talk.until(lambda talk: len(talk.statuses) == 2)
        for number in (0, 1):
            own.start_worker(number)
        for talk in talks:
            books = await talk.done()
            assert (books["received"], books["dropped"]) == (len(speech.pcm), 0)
            assert talk.text == " ".join(VERSE)
    own.stop()


async def test_waiting_for_a_worker_ends(tmp_path):
    """A session that no worker comes for is refused in words after the longest wait."""
    with Server(tmp_path, workers=1, START_WAIT_S="1") as own:
        own.start_gateway()
        async with Talk(own) as talk:
            assert await talk.ended() == 1013
            assert talk.statuses == list(STATUSES[:2])
            assert talk.errors == [("no_capacity", "No GPU resources available")]
        own.stop()

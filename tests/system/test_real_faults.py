"""Every fault that a session is to outlive, on four real workers with real weights: the words and the books.

What each session says at the end is compared with what an undisturbed one of the same audio says.
"""

import asyncio
import contextlib
import signal
import sys

import pytest
from whisper_live_client import connect

from tests.gateway.web.relay import Relay
from tests.system.faulty_real_worker import POISON
from tests.system.reading import check_positions, check_text, reading, word_errors
from tests.system.server import GATEWAY
from tests.system.sessions import moves_of, open_sessions, restarting_workers
from tests.system.talk import STATUSES, Talk
from tests.system.test_resume import BYTES_PER_S, blocks

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

WORKERS = 4
PATIENCE_S = 180
READY = STATUSES[-1]


@pytest.fixture(scope="module")
def server(start_server):
    """Give four real workers of four slots with real weights, which can be told to raise."""
    worker = (sys.executable, "-m", "tests.system.faulty_real_worker")
    settings = {"WHISPER_MODEL": "tiny.en", "MODEL_IDLE_UNLOAD_S": "0", "DRAIN_S": "8"}
    # Between two sentences all wait for the last word of the slowest, however long a busy machine takes.
    server = start_server(workers=WORKERS, worker=worker, IDLE_TIMEOUT_S="600", **settings)
    (server.run_dir / "faults").mkdir()
    return server


@pytest.fixture(scope="module")
def undisturbed(server):
    """Give a function that returns the text of the first ``count`` sentences as an undisturbed session has it."""
    texts = {}

    async def read(count):
        async with Talk(server) as talk:
            await talk.ready()
            await talk.send(reading(count).pcm)
            await talk.finish()
            check_books(await talk.done(PATIENCE_S), reading(count))
            return talk.text

    def text(count):
        if count not in texts:
            texts[count] = asyncio.run(asyncio.wait_for(read(count), PATIENCE_S))
            assert word_errors(reading(count).said, texts[count]) < 0.1
        return texts[count]

    return text


@pytest.fixture(autouse=True)
def _restored(server):
    """Wait until all four workers serve and no session is left."""
    yield
    server.restore()


def check_books(books, spoken):
    """Assert that every sample came, and none was dropped."""
    assert (books["received"], books["dropped"]) == (spoken.samples, 0)
    assert books["transcribed"] > 0.7 * books["received"]


async def check_all(talks, spoken, text):
    """Assert that every session ends with the undisturbed words, each in its place, and whole books."""
    for talk in talks:
        check_books(await talk.done(PATIENCE_S), spoken)
    for talk in talks:
        check_text(text, talk.text)
        check_positions(
            [(word["word"], word["start"], word["end"]) for final in talk.of("final") for word in final["words"]]
        )


@contextlib.asynccontextmanager
async def saying(talks, spoken, number):
    """Have all say one sentence in real time; enter in its midst, leave when each has it on the screen and a slot."""
    before = [len(talk.shown.split()) for talk in talks]
    speaking = asyncio.gather(*(talk.send(spoken.pieces[number], real_time=True) for talk in talks))
    await talks[0].words(before[0] + 3, PATIENCE_S)
    yield
    await speaking
    duration_s = len(spoken.pieces[number]) / 32_000
    for talk, words in zip(talks, before, strict=True):
        await talk.until(lambda talk: talk.statuses[-1] == READY, PATIENCE_S)
        await talk.words(words + int(1.5 * duration_s), PATIENCE_S)  # more than half: people read three words a second


# --- workers ------------------------------------------------------------------------------------------------


async def test_workers_that_die_hang_and_leave(server, undisturbed):
    """Six sessions of six sentences; in each a worker dies, hangs or leaves in its way, and no word is lost or doubled."""
    spoken, text = reading(6), await asyncio.to_thread(undisturbed, 6)
    async with restarting_workers(server) as ends, open_sessions(server, 6, modes=("events",)) as talks:
        async with saying(talks, spoken, 0):
            server.signal_worker(talks[0].gpu_id, signal.SIGKILL)
        async with saying(talks, spoken, 1):
            hanging = talks[1].gpu_id
            server.signal_worker(hanging, signal.SIGSTOP)
            await talks[1].until(lambda talk: talk.gpu_id != hanging, PATIENCE_S)
            server.signal_worker(hanging, signal.SIGCONT)
        async with saying(talks, spoken, 2):
            server.signal_worker(talks[2].gpu_id, signal.SIGTERM)
        async with saying(talks, spoken, 3):
            for number in {talks[3].gpu_id, (talks[3].gpu_id + 1) % WORKERS}:
                server.signal_worker(number, signal.SIGKILL)
        async with saying(talks, spoken, 4):
            for worker in server.workers.values():
                worker.kill()
            for talk in talks:
                await talk.until(lambda talk: "Waiting for a free GPU..." in talk.statuses, PATIENCE_S)
        for talk in talks:
            await talk.send(spoken.pieces[5])
            await talk.finish()
        server.signal_worker(talks[0].gpu_id, signal.SIGKILL)
        assert not talks[0].of("ready_to_stop")
        await check_all(talks, spoken, text)
    assert sorted(ends) == sorted([*8 * [-signal.SIGKILL], 0])
    names = {talk.messages[0]["session"] for talk in talks}
    moves = [entry for entry in server.log.find("session_moved") if entry["connection"] in names]
    assert {"worker_lost", "drain"} <= {move["reason"] for move in moves}


async def test_killed_during_load(server, undisturbed):
    """A worker killed while it loads its weights for a session: another does, and what was said meanwhile is there."""
    spoken, text = reading(1), await asyncio.to_thread(undisturbed, 1)
    await asyncio.to_thread(server.wait_loads, 0, 0, 0, 0)
    async with Talk(server) as talk:
        await talk.until(lambda talk: "Loading models on GPU 0..." in talk.statuses)
        server.signal_worker(0, signal.SIGKILL)
        await talk.send(spoken.pcm)
        await talk.until(lambda talk: talk.statuses[-2:] == ["Loading models on GPU 1...", READY], PATIENCE_S)
        await talk.finish()
        (last,) = await talk.until(lambda talk: talk.of("ready_to_stop"), PATIENCE_S)
        check_books(last["audio"], spoken)
        check_text(text, talk.text)
        assert talk.of("moved") == []


async def test_steps_that_raise_and_audio_that_kills(server, undisturbed):
    """A device on which every step raises is left; audio that kills its worker ends its own session, and no other."""
    spoken, text = reading(3), await asyncio.to_thread(undisturbed, 3)
    async with (
        restarting_workers(server) as ends,
        open_sessions(server, 4, modes=("events",)) as talks,
        Talk(server) as sick,
    ):
        await sick.ready()
        async with saying([*talks, sick], spoken, 0):
            broken = talks[1].gpu_id
            fault = server.run_dir / "faults" / f"gpu{broken}"
            fault.write_text("raise")
            await talks[1].until(lambda talk: talk.gpu_id != broken, PATIENCE_S)
        assert "stream_failed" in {move["reason"] for move in moves_of(server, talks)}
        fault.unlink()
        async with saying(talks, spoken, 1):
            kept = sick.text
            await sick.send(POISON.tobytes() + spoken.pieces[2])
            assert await sick.ended(PATIENCE_S) == 1011
            assert [code for code, _ in sick.errors] == ["recognition_failed"]
        for talk in talks:
            await talk.send(spoken.pieces[2])
            await talk.finish()
        await check_all(talks, spoken, text)
    assert ends == 3 * [-signal.SIGKILL]
    assert sick.text.startswith(kept)
    closed = await asyncio.to_thread(server.log.wait, "session_closed", connection=sick.messages[0]["session"])
    assert (closed["outcome"], closed["dropped_reason"]) == ("recognition_failed", "recognition_failed")
    assert closed["dropped"] > 0  # what was committed counts as transcribed only where no later step can need it


async def test_sixteen_on_sixteen_slots(server, undisturbed):
    """With every slot taken a seventeenth comes in when one has left; then each worker is restarted, and nothing is lost."""
    spoken, text = reading(4), await asyncio.to_thread(undisturbed, 4)
    async with open_sessions(server, 15) as talks, Talk(server) as extra:
        await extra.ready()
        assert server.loads() == [4, 4, 4, 4]
        async with Talk(server) as refused:
            assert await refused.ended() == 1013
            assert [code for code, _ in refused.errors] == ["no_capacity"]
        await extra.finish()
        await extra.done(PATIENCE_S)
        async with Talk(server) as seventeenth:
            await seventeenth.ready()
            everybody = [*talks, seventeenth]
            for number in range(WORKERS):
                async with saying(everybody, spoken, number):
                    server.signal_worker(number, signal.SIGTERM)
                    assert await asyncio.to_thread(server.workers[number].wait, PATIENCE_S) == 0
                    server.start_worker(number)
                    await asyncio.to_thread(server.wait_serving, WORKERS)
            for talk in everybody:
                await talk.finish()
            await check_all(everybody, spoken, text)
            assert all(talk.errors == [] for talk in everybody)


# --- networks, readers and the gateway ----------------------------------------------------------------------


async def test_networks_that_break_and_a_gateway_that_restarts(server, undisturbed):
    """Cut twice, cut while the worker dies, and then the gateway is restarted: three transcripts show no seam."""
    spoken, text = reading(3), await asyncio.to_thread(undisturbed, 3)
    places, restarts = {}, []

    async def restart():
        server.terminate_gateway()
        assert await asyncio.to_thread(server.gateway.wait, PATIENCE_S) == 0
        server.gateway = server.start_process(GATEWAY, {})  # on this thread: it ends with the one that began it
        await asyncio.to_thread(server.wait_for_gateway, server.gateway)

    async def read_to(network, name, plan):
        async with connect(f"ws://127.0.0.1:{network.port}/asr", reconnect_s=PATIENCE_S) as client:
            async for _ in client.stream(blocks(spoken.pcm), realtime=True):
                words = len(client.transcript.words)
                if plan and words >= plan[0][0]:
                    plan.pop(0)[1](network, client)
                places[name] = words
                if not restarts and len(places) == 3 and min(places.values()) >= 30:
                    restarts.append(asyncio.create_task(restart()))
        assert (client.problem, plan) == (None, [])
        return client.transcript

    def cut(network, _client):
        network.break_once()

    def cut_in_a_move(network, client):
        status = server.get("/gpu-status")["gpus"]
        session = client.transcript.config.session
        (gpu,) = [gpu["gpu_id"] for gpu in status if session in gpu["connection_ids"]]
        server.signal_worker(gpu, signal.SIGKILL)
        network.break_once()

    plans = [[(4, cut), (16, cut)], [(8, cut_in_a_move)], []]
    async with restarting_workers(server), contextlib.AsyncExitStack() as stack:
        networks = [stack.enter_context(Relay(server.port, BYTES_PER_S)) for _ in plans]
        transcripts = await asyncio.gather(
            *(read_to(network, name, plan) for name, (network, plan) in enumerate(zip(networks, plans, strict=True)))
        )
        await restarts[0]
        await asyncio.to_thread(server.wait_serving, WORKERS)
    for transcript, losses in zip(transcripts, (3, 2, 1), strict=True):
        assert (transcript.disconnects, transcript.violations, transcript.lost_samples) == (losses, [], 0)
        assert transcript.first_sample + transcript.accounting.received == transcript.sent_samples == spoken.samples
        assert transcript.accounting.dropped == 0
        check_text(text, transcript.committed)
        check_positions([(word.text, word.start_s, word.end_s) for word in transcript.words])


async def test_slow_readers_and_fast_senders(server, undisturbed):
    """A client that sends all at once, reads slowly or never reads loses nothing, and holds up no other."""
    spoken, text = reading(2), await asyncio.to_thread(undisturbed, 2)
    known = {entry["connection"] for entry in server.log.find("session_closed")}
    async with (
        Talk(server) as fast,
        Talk(server) as live,
        Talk(server, reading=False) as slow,
        Talk(server, reading=False) as mute,
    ):
        slow.read(pause_s=0.3)
        speaking = asyncio.create_task(live.send(spoken.pcm, real_time=True))
        for talk in (fast, slow, mute):
            await talk.send(spoken.pcm)
            await talk.finish()
        await speaking
        await live.finish()
        await check_all([fast, live, slow], spoken, text)
        names = {talk.messages[0]["session"] for talk in (fast, live, slow)}

        def unheard():
            entries = server.log.find("session_closed")
            return next((entry for entry in entries if entry["connection"] not in known | names), None)

        async with asyncio.timeout(PATIENCE_S):
            while (closed := unheard()) is None:
                await asyncio.sleep(0.1)
    check_books(closed, spoken)
    assert closed["outcome"] == "complete"
    (same,) = server.log.find("session_closed", connection=fast.messages[0]["session"])
    assert abs(closed["words"] - same["words"]) <= 2

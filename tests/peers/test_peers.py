"""What users of other live transcription servers suffer from, one test a complaint: what we do instead, over the wire.

The complaints about recognition itself are in ``test_peers_recognition.py``; together they are 1 to 18.
"""

import asyncio
import contextlib
import json
from pathlib import Path

import psutil
import pytest

from gateway.protocols.asr_events import EventsProtocol
from gateway.protocols.asr_full import FullProtocol
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.session import Session
from gateway.sessions.transcript import Transcript
from tests.gateway.builders import bounds, hypothesis, word
from tests.gateway.web import test_web
from tests.scripted_recognizer import POISON, say
from tests.system.sessions import VERSE
from tests.system.talk import Talk

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
MB = 2**20
TEXT = " ".join(VERSE)
VIEWS = {"full": FullProtocol, "events": EventsProtocol}


@pytest.fixture(autouse=True)
def _no_session_left(request):
    """Begin the next test when no session of this one is left."""
    yield
    for name, loads in (("server", (0, 0)), ("slow", (0,))):
        if name in request.fixturenames:
            request.getfixturevalue(name).wait_loads(*loads, limit_s=30)


async def closed(server, talk):
    """Return the line with which a session's end is logged."""
    return await asyncio.to_thread(server.log.wait, "session_closed", connection=talk.messages[0]["session"])


def private_bytes(process):
    """Return a process's private memory."""
    return psutil.Process(process.pid).memory_full_info().uss


async def test_01_last_words_reach_a_slow_reader(server):
    """A client that rests after each message, and whose last word and end marker come in one breath, has every word."""
    pcm = say(VERSE, between_s=0.0).pcm.tobytes()

    async def session(mode):
        async with Talk(server, mode=mode, reading=False, max_queue=1) as talk:
            talk.read(pause_s=0.1)
            await talk.send(pcm[:-3200], real_time=True)
            await asyncio.gather(talk.socket.send(pcm[-3200:]), talk.socket.send(b""))
            books = await talk.done()
            assert talk.text == TEXT
            assert (books["received"], books["dropped"]) == (len(pcm) // 2, 0)

    await asyncio.gather(session("full"), session("events"))


async def test_02_failures_are_told(server):
    """When recognition fails, the client is told so beside its text, and the operator sees it; nothing says that all is well."""
    failed = 'whisperlivekit_sessions_total{outcome="recognition_failed"}'

    def count():
        lines = server.fetch("/metrics/prometheus").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(failed))

    before, outcomes = count(), server.get("/performance")["outcomes"]
    async with Talk(server, mode="full") as talk:
        await talk.send(say(["apple", "river", 1.0]).pcm.tobytes())
        await talk.until(lambda talk: talk.text == "apple river")
        await talk.send(say([POISON, 1.0]).pcm.tobytes())
        assert await talk.ended() == 1011
        last = talk.messages[-1]
        assert (last["status"], last["code"]) == ("error", "recognition_failed")
        assert "poison" in last["error"]
        assert last["lines"][0]["text"] == "apple river"
        assert talk.of("ready_to_stop") == []
    line = await closed(server, talk)
    assert (line["outcome"], line["dropped_reason"]) == ("recognition_failed", "recognition_failed")
    assert line["dropped"] > 0
    assert count() == before + 1
    assert server.get("/performance")["outcomes"]["recognition_failed"] == outcomes.get("recognition_failed", 0) + 1


@pytest.mark.parametrize("mode", ["full", "events"])
def test_03_a_client_that_reads_nothing_is_bounded(mode):
    """An hour of changing text leaves a handful of messages unread, not a message a change."""
    transcript, outbox = Transcript(), SendQueue(VIEWS[mode].encode)
    view = VIEWS[mode](transcript, outbox)
    for second in range(3600):
        transcript.apply(hypothesis(word(" well", second), closes=second % 360 == 359, tail=f" and {second}"))
        view.text_changed(second * 16_000, 0.5)
    assert 0 < outbox.waiting < 20


async def test_04_one_session_never_freezes_another(server):
    """While one client floods the server with as much as it takes, another has its answers at once and its words."""
    speech = say(VERSE[:6])
    block = say([*VERSE, 0.3] * 9).pcm.tobytes()[: MB - 2]

    async def flood(talk):
        while True:
            await talk.socket.send(block)

    async with Talk(server) as flooding, Talk(server) as live:
        await live.ready()
        task = asyncio.create_task(flood(flooding))
        speaking = asyncio.create_task(live.send(speech.pcm.tobytes(), real_time=True))
        answers_s = []
        while not speaking.done():
            answers_s.append(await (await live.socket.ping()))
            await asyncio.sleep(0.1)
        await live.finish()
        await live.done()
        assert live.text == " ".join(VERSE[:6])
        assert len(flooding.of("ack")) > 5
        assert not task.done()
        assert max(answers_s) < 1.0
        task.cancel()
        await flooding.cut()


async def test_05_no_message_without_news(server):
    """In silence a client is told nothing of its text, and while someone speaks no more than a few times a second."""
    async with Talk(server, mode="full") as full, Talk(server) as events:
        talks = (full, events)
        for talk in talks:
            await talk.ready()
        before = [len(talk.messages) for talk in talks]
        await asyncio.gather(*(talk.send(say([3.2]).pcm.tobytes(), real_time=True) for talk in talks))
        quiet = [talk.messages[count:] for talk, count in zip(talks, before, strict=True)]
        assert quiet[0] == []
        assert 0 < len(quiet[1]) <= 4
        assert {message["type"] for message in quiet[1]} == {"ack"}
        speech = say(VERSE)
        before = [len(talk.messages) for talk in talks]
        await asyncio.gather(*(talk.send(speech.pcm.tobytes(), real_time=True) for talk in talks))
        for talk, count in zip(talks, before, strict=True):
            assert 4 < len(talk.messages) - count < 6 * len(speech.pcm) / 16_000


def test_05_an_hour_costs_no_megabyte_a_second():
    """After an hour of speech a stock client, which must have the whole text each time, gets it below 64 kB a second."""
    transcript, outbox = Transcript(), SendQueue(FullProtocol.encode)
    view = FullProtocol(transcript, outbox)
    for second in range(3600):
        transcript.apply(hypothesis(*(word(f" sentence{index}", second) for index in range(3))))
    sizes = []
    for tick in range(240):
        transcript.apply(hypothesis(word(f" more{tick}", 3600 + tick / 4)))
        view.text_changed(0, 0.0)
        while (text := outbox.pop(tick / 4)) is not None:
            sizes.append(len(text.encode()))
    assert sizes[0] > 32_000
    assert len(sizes) > 5
    assert sum(sizes) <= 60 * 64_000 + sizes[-1]


async def test_07_language_is_each_sessions_own(server):
    """A session's language is the one it asked for, whatever its neighbours speak; one that there is not is refused."""
    async with Talk(server, query="&language=fr") as french, Talk(server, query="&language=en") as english:
        speech = say(VERSE).pcm.tobytes()
        await asyncio.gather(*(talk.send(speech) for talk in (french, english)))
        for talk, language in ((french, "fr"), (english, "en")):
            await talk.finish()
            await talk.done()
            assert {message["language"] for message in talk.of("final")} == {language}
    for mode in ("full", "events"):
        async with Talk(server, mode=mode, query="&language=klingon") as refused:
            assert await refused.ended() == 4400
            assert [code for code, _ in refused.errors] == ["bad_parameter"]
            assert "klingon" in refused.messages[-1]["error"]


async def test_08_slow_inference_kills_no_connection(slow):
    """Three clients at once on steps of over a second: keepalives are answered at once, no worker is given up, all words come."""
    speech = say(VERSE[:6])
    async with contextlib.AsyncExitStack() as stack:
        options = {"ping_interval": 0.2, "ping_timeout": 1.0}
        talks = [await stack.enter_async_context(Talk(slow, **options)) for _ in range(3)]
        await asyncio.gather(*(talk.send(speech.pcm.tobytes(), real_time=True) for talk in talks))
        for talk in talks:
            await talk.finish()
        for talk in talks:
            await talk.done()
            assert talk.text == " ".join(VERSE[:6])
            assert talk.of("moved") == []
    assert slow.log.find("worker_lost") == []


async def test_09_host_memory_is_given_back(server):
    """Session after session, neither the gateway nor a worker keeps the audio of those that have ended."""
    speech = say([*VERSE, 0.3] * 7)
    processes = [server.gateway, *server.workers.values()]

    async def eight_sessions():
        async with contextlib.AsyncExitStack() as stack:
            talks = [await stack.enter_async_context(Talk(server, mode="full")) for _ in range(8)]
            await asyncio.gather(*(talk.say(speech, size=64_000) for talk in talks))
        await asyncio.to_thread(server.wait_loads, 0, 0)

    for _ in range(2):
        await eight_sessions()
    before = [private_bytes(process) for process in processes]
    for _ in range(4):
        await eight_sessions()
    assert 32 * len(speech.pcm) * 2 > 24 * MB
    for process, size in zip(processes, before, strict=True):
        assert private_bytes(process) - size < 12 * MB


async def test_10_reconnecting_wipes_nothing(server):
    """After a broken connection a client has its text as before, sends what was said meanwhile, and can start again."""
    speech = say([*VERSE, 0.7, *VERSE])
    pcm = speech.pcm.tobytes()
    async with Talk(server, mode="full") as before:
        await before.ready()
        await before.send(pcm[: len(pcm) // 4 * 2])
        await before.words(7)
        said = before.text
        token = before.messages[0]["resume_token"]
        await before.cut()
    async with Talk(server, mode="full", query=f"&resume={token}") as after:
        (config,) = await after.until(lambda talk: talk.of("config"))
        assert config["resumed"] is True
        assert len(said) > 10
        await after.send(pcm[2 * config["received"] :])
        await after.finish()
        (last,) = await after.until(lambda talk: talk.of("ready_to_stop"))
        assert after.text == f"{TEXT} {TEXT}"
        assert (last["audio"]["received"], last["audio"]["dropped"]) == (len(speech.pcm), 0)
        for state in after.of(None):
            assert " ".join(line["text"] for line in state["lines"]).startswith(said)
    async with Talk(server, mode="full") as second:
        assert await second.say(say(VERSE)) == TEXT


def test_11_the_microphone_does_not_drift():
    """From the sound card's clock to ours no sample is lost or added, in a few blocks and messages a second."""
    test_web.test_suite(HERE / "microphone.test.mjs")


async def test_12_bytes_and_text_frames_shift_nothing(server):
    """Audio a byte at a time, with text frames between the halves of a sample, is the audio that was sent."""
    speech = say(VERSE)
    pcm = speech.pcm.tobytes()
    async with Talk(server, mode="full") as talk:
        await talk.ready()
        await talk.send(pcm[:4001], size=1)
        await talk.control("hello")
        await talk.send(pcm[4001:], size=1777)
        await talk.control("{}")
        await talk.finish()
        books = await talk.done()
        assert talk.text == TEXT
        assert (books["received"], books["dropped"]) == (len(speech.pcm), 0)
        assert {code for code, _ in talk.errors} == {"bad_message"}


def test_12_half_a_sample_dies_with_its_socket():
    """Half a sample at the end of a broken connection shifts nothing on the next, whether the break was noticed or not."""
    for noticed in (True, False):
        transcript = Transcript()
        session = Session(
            "x",
            presenter=FullProtocol(transcript, SendQueue(FullProtocol.encode)),
            transcript=transcript,
            language="en",
            task="transcribe",
            now=0.0,
            limits=bounds(),
        )
        session.on_audio(b"\x01\x02\x03", 0.0)
        if noticed:
            session.on_detached(1.0)
        session.on_resumed(2.0)
        session.on_audio(b"\x03\x04\x05\x06", 2.0)
        session.check()
        assert [pcm for _, pcm in session.checkpoint.journal.read(0)] == [b"\x01\x02\x03\x04\x05\x06"], noticed


async def test_14_a_failure_leaves_nothing_locked(server):
    """When recognition fails in full slots, the sessions in the same steps go on, and the freed slots serve new ones."""
    speech = say(VERSE)
    half = len(speech.pcm) // 2
    async with contextlib.AsyncExitStack() as stack:
        talks = [await (await stack.enter_async_context(Talk(server))).ready() for _ in range(8)]
        assert server.loads() == [4, 4]
        *well, first, second = talks
        for talk in well:
            await talk.send(speech.pcm[:half].tobytes())
            await talk.words(2)
        for sick in (first, second):
            await sick.send(say(["apple", POISON, 1.0]).pcm.tobytes())
            assert await sick.ended() == 1011
        new = [await stack.enter_async_context(Talk(server)) for _ in range(2)]
        rests = [*((talk, speech.pcm[half:]) for talk in well), *((talk, speech.pcm) for talk in new)]
        await asyncio.gather(*(talk.send(pcm.tobytes()) for talk, pcm in rests))
        for talk, _ in rests:
            await talk.finish()
        for talk, _ in rests:
            await talk.done()
            assert talk.text == TEXT
    assert not server.log.find("worker_lost")


async def test_16_times_do_not_drift(server):
    """Words after pauses have the times at which they were said, each pause counted once, and no character is cut."""
    speech = say(["café", 1.1, "river", "café", 1.2, "stone", "café"])
    async with Talk(server) as talk:
        await talk.ready()
        await talk.send(speech.pcm.tobytes(), real_time=True)
        await talk.finish()
        await talk.done()
    words = [word for message in talk.of("final") for word in message["words"]]
    assert [word["word"].strip() for word in words] == [word.text for word in speech.words]
    for heard, said in zip(words, speech.words, strict=True):
        assert (heard["start"], heard["end"]) == pytest.approx((said.start / 16_000, said.end / 16_000), abs=0.03)
    assert "\ufffd" not in json.dumps(talk.messages, ensure_ascii=False)


def test_18_text_is_never_markup():
    """What a model writes reaches the page as text, whatever it looks like."""
    test_web.test_suite(HERE / "view.test.mjs")


async def test_18_secrets_and_strangers(server):
    """A token in an address stands in no log, a stranger's page may not connect, and our page runs no foreign script."""
    secret = "t0ken-in-an-address"
    async with Talk(server, query=f"&token={secret}") as talk:
        await talk.ready()
        server.fetch(f"/health?token={secret}")
        server.fetch(f"/nothing?token={secret}")
        await talk.finish()
        await talk.done()
    line = await closed(server, talk)
    assert line["outcome"] == "complete"
    assert secret not in "".join(server.log.lines)
    async with Talk(server, origin="https://stranger.example") as refused:
        assert await refused.ended() == 4403
        assert [code for code, _ in refused.errors] == ["bad_origin"]
    for path in ("/", "/page/app.js", "/health"):
        headers = server.fetch(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "no" in headers["cache-control"]

"""scripts/tools/driver: sessions with a scripted server, steered from outside."""

import asyncio
import time

import pytest
from whisper_live_client.outcome import Exit

from scripts.tools.corpus import Corpus, Utterance, make_streams
from scripts.tools.driver import LEFT, SessionDriver, SessionSettings
from tests.scripts.scripted_server import HELLO, AsrServer, hello

(STREAM,) = make_streams(Corpus("test", ((Utterance("hello", "Hello world.", (), bytes(9_600)),),), 0.0, 0.0), 1, None)


def with_server(script, drive, **options):
    """Run ``drive`` with a driver for a server that plays the script, and the server."""

    async def run():
        async with AsrServer(script) as server, asyncio.timeout(120):
            return await drive(SessionDriver(SessionSettings(url=server.url), STREAM, **options), server)

    return asyncio.run(run())


def test_a_stream_is_said_in_real_time():
    """Each message leaves when its last sample is spoken, and the result holds what came back."""

    async def drive(driver, _server):
        return await driver.run()

    async def script(conversation):
        await conversation.welcome()
        await conversation.partial(0, "", "hollow word")
        await conversation.partial(0, "Hello", "word")
        await conversation.hear()
        await conversation.final(0, HELLO)
        await conversation.goodbye()

    result = with_server(script, drive)
    transcript = result.transcript
    assert (result.outcome.exit_code, transcript.committed) == (Exit.COMPLETE, "Hello world.")
    assert (transcript.sent_samples, transcript.balanced) == (STREAM.samples, True)
    assert transcript.ended_s - transcript.opened_s >= STREAM.duration_s
    assert result.changed_words == 1  # "hollow" became "Hello"


def test_a_silent_session_speaks_when_told_and_an_endless_one_until_stopped():
    """Nothing is sent before `speak`; the stream comes again until `stop`, and what was sent is all accounted for."""

    async def drive(driver, server):
        running = asyncio.create_task(driver.run())
        await driver.ready(60)
        await asyncio.sleep(0.2)
        (conversation,) = server.conversations
        before = conversation.received
        driver.speak()
        while conversation.received <= STREAM.samples:
            await asyncio.sleep(0.05)
        driver.stop()
        return before, await running

    before, result = with_server(hello, drive, silent=True, endless=True)
    assert before == 0
    assert result.outcome.exit_code is Exit.COMPLETE
    assert result.transcript.balanced


def test_a_stopped_stream_is_interrupted():
    """A stream that is stopped before its end is complete in its words, but not in its audio."""

    async def drive(driver, _server):
        driver.stop()
        return await driver.run()

    async def end_at_once(conversation):
        await conversation.welcome()
        await conversation.hear()
        await conversation.goodbye()

    outcome = with_server(end_at_once, drive).outcome
    assert (outcome.exit_code, outcome.sentence) == (Exit.INTERRUPTED, "interrupted, with its last words")


def test_leaving_closes_the_connection_properly():
    """The server gets a close frame, so that it need not wait for the client to come back."""

    async def drive(driver, server):
        running = asyncio.create_task(driver.run())
        await driver.ready(60)
        driver.leave()
        return driver, await running, server.conversations[0].socket.close_code

    driver, result, close_code = with_server(hello, drive, endless=True)
    assert (driver.left, result.outcome.sentence, close_code) == (True, LEFT, 1000)


@pytest.mark.parametrize(
    ("end", "code", "sentence"),
    [
        (lambda running: None, Exit.FAILED, "not at its end after 0 s"),
        (lambda running: running.cancel(), Exit.INTERRUPTED, "interrupted"),
    ],
    ids=["limit", "cancelled"],
)
def test_a_session_is_cut_off(end, code, sentence):
    """A limit or a cancellation ends the session as it is, with its transcript so far."""

    async def deaf(conversation):
        await conversation.welcome()
        await conversation.socket.wait_closed()

    async def drive(driver, _server):
        running = asyncio.create_task(driver.run(limit_s=0.4))
        await driver.ready(60)
        end(running)
        return await running

    began_s = time.monotonic()
    result = with_server(deaf, drive, endless=True)
    assert (result.outcome.exit_code, result.outcome.sentence) == (code, sentence)
    assert result.transcript.ready_s is not None
    assert time.monotonic() - began_s < 60


def test_a_server_that_is_not_there_is_an_outcome():
    """Nothing is raised: who waits for readiness is told, and the outcome says why."""

    async def drive():
        driver = SessionDriver(SessionSettings(url="ws://127.0.0.1:1/asr"), STREAM)
        result = await driver.run()
        await driver.ready(0.1)
        return driver, result

    driver, result = asyncio.run(drive())
    assert driver.outcome is result.outcome
    assert result.outcome.exit_code is Exit.FAILED
    assert result.outcome.sentence

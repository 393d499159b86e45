"""session: one session over a real socket."""

import asyncio
import json

import pytest
from whisper_live_client import ClientError, ConnectError, Exit, Outcome, SessionClosedError, connect, transcribe_file
from whisper_live_client.audio import regroup
from whisper_live_client.connection import session_url
from whisper_live_client.events import Final, Partial, ReadyToStop, Status

from tests.client.sessions import consume, converse
from tests.scripts.scripted_server import AsrServer, hello, tone


def test_a_session_by_hand():
    """Send, read while sending, finish: messages arrive in order and are folded; the close is clean."""

    async def use(client):
        await client.send(tone(1600, 16_000))
        kinds = []
        async for message in client:
            kinds.append(type(message).__name__)
            if client.transcript.tail == "word":
                await client.finish()
                await client.finish()
        return kinds, client.transcript

    (kinds, transcript), (conversation,) = converse(hello, use)
    assert kinds == ["Config", *["Status"] * 4, "Partial", "Partial", "Final", "ReadyToStop"]
    assert [(word.text, word.end_s) for word in transcript.words] == [("Hello", 0.5), ("world.", 1.0)]
    assert transcript.opened_s < transcript.ready_s < transcript.first_word_s < transcript.ended_s < transcript.done_s
    assert transcript.violations == []
    assert bytes(conversation.audio) == tone(1600, 16_000)


def test_odd_lengths_count_whole_samples():
    """Half a sample is sent as it is and counted with its other half."""

    async def use(client):
        for size in (3, 3, 2, 3193):
            await client.send(bytes(size))
        await consume(client.stream(b""))
        return client.transcript.sent_samples

    samples, (conversation,) = converse(hello, use)
    assert (samples, len(conversation.audio)) == (1600, 3201)


def test_an_empty_message_is_refused():
    """An empty message would end the audio by accident."""

    async def use(client):
        with pytest.raises(ValueError, match="finish"):
            await client.send(b"")

    converse(hello, use)


def test_audio_is_kept_until_it_is_settled():
    """Audio stays in the client until a final covers it, or an acknowledgement with no words open and one after it."""

    async def script(conversation):
        await conversation.welcome()
        await conversation.hear(until_bytes=6400)
        await conversation.say("ack", received=3200, committed_until=1000)
        await conversation.say("ack", received=3200, committed_until=1600)
        await conversation.partial(1, "Hello", "", 0.11, 0.12)
        await conversation.say("ack", received=3200, committed_until=1920)
        await conversation.final(1, [("Hello", 0.11, 0.12)])
        await conversation.hear()
        await conversation.goodbye()

    async def use(client):
        kept = [client.replay_buffer.first_sample async for _ in client.stream(tone(3200, 16_000))]
        return kept, client

    (kept, client), _ = converse(script, use)
    assert kept[5:-1] == [0, 1000, 1000, 1000, 1920]
    assert client.transcript.committed_until == 1920


def test_controls():
    """Finalize and keepalive are JSON text frames."""

    async def use(client):
        await client.finalize()
        await client.keepalive()
        await consume(client.stream(tone(1600, 16_000)))

    _, (conversation,) = converse(hello, use)
    assert [json.loads(text) for text in conversation.texts] == [{"type": "finalize"}, {"type": "keepalive"}]


def test_messages_before_a_close_are_not_lost():
    """An error that came just before the close is read although sending fails already."""

    async def script(conversation):
        await conversation.say("error", error="No GPU resources available", retry_after_s=5)
        await conversation.socket.close(1013)

    async def use(client):
        async def keep_sending():
            while True:
                await client.send(bytes(3200))
                await asyncio.sleep(0.01)

        with pytest.raises(SessionClosedError):
            await keep_sending()
        await consume(client.stream(b""))
        return client

    client, _ = converse(script, use)
    assert [error.error for error in client.transcript.errors] == ["No GPU resources available"]
    assert client.close_code == 1013


def test_a_message_that_is_none():
    """A broken message ends the session with its reason instead of hanging or raising elsewhere."""

    async def script(conversation):
        await conversation.socket.send('{"type":"ack","seq":1,"received":"many"}')
        await conversation.socket.wait_closed()

    async def use(client):
        await consume(client.stream(bytes(3200)))
        return client.problem

    problem, _ = converse(script, use)
    assert "message.received is not a whole number" in problem


def test_a_silent_server_is_given_up_after_the_end():
    """A server that says nothing after the end marker is left after the time that was asked for, not before."""

    async def script(conversation):
        await conversation.hear()
        await conversation.socket.wait_closed()

    async def use(client):
        await consume(client.stream(bytes(16_000), realtime=True))
        return client

    client, (conversation,) = converse(script, use, flush_timeout_s=0.3)
    assert client.problem == "the server said nothing for 0.3 s after the audio's end"
    assert conversation.ended


def test_pacing_follows_the_clock():
    """Each block is sent when its last sample would have been spoken: no drift, however long a send takes."""

    async def use(client):
        started = asyncio.get_running_loop().time()
        await consume(client.stream(tone(16_000, 16_000), realtime=True))
        return started, client.transcript

    (started, transcript), _ = converse(hello, use)
    for position_s in (0.1, 0.5, 1.0):
        late_s = transcript.sent_at_s(position_s) - started - position_s
        assert 0 <= late_s < 0.09


def test_pacing_begins_with_the_first_message():
    """A source that is silent at first is paced from its first message on: it does not make up for the time before."""

    async def late():
        await asyncio.sleep(0.3)
        for message in regroup([tone(8_000, 16_000)], 3200):
            yield message

    async def use(client):
        started = asyncio.get_running_loop().time()
        await consume(client.stream(late(), realtime=True))
        return started, client.transcript

    (started, transcript), _ = converse(hello, use)
    assert transcript.sent_at_s(0.1) - started >= 0.4
    assert transcript.sent_at_s(0.5) - started >= 0.8


def test_a_failing_source_still_flushes():
    """When the source breaks, what was sent is flushed, and the error comes out."""

    async def broken():
        yield tone(1600, 16_000)
        raise LookupError("tape torn")

    async def use(client):
        with pytest.raises(LookupError, match="tape torn"):
            await consume(client.stream(broken()))
        return client.transcript

    transcript, (conversation,) = converse(hello, use)
    assert transcript.complete
    assert conversation.ended


def test_cancelling_leaves_at_once():
    """A cancelled session does not wait for a server that reads nothing and answers nothing."""

    async def script(conversation):
        await asyncio.sleep(30)

    async def once():
        async with AsrServer(script, max_queue=1) as server, asyncio.timeout(10):
            client = connect(server.url)

            async def endless():
                while True:
                    yield bytes(320_000)

            async def session():
                async with client:
                    await consume(client.stream(endless()))

            task = asyncio.create_task(session())
            sent = -1
            while sent != (sent := client.transcript.sent_samples) or not sent:
                await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.close_code == 1006

    asyncio.run(once())


def test_a_streamed_session():
    """Events come folded into the transcript, in time order; at the end the client closes, with 1000."""

    async def use(client):
        events = client.stream(tone(1600, 16_000))
        seen = [(type(event), client.transcript.committed, event.arrived_s) async for event in events]
        return seen, client

    (seen, client), (conversation,) = converse(hello, use)
    assert seen[4][:2] == (Status, "")
    assert [each[:2] for each in seen[-2:]] == [(Final, "Hello world."), (ReadyToStop, "Hello world.")]
    times = [client.transcript.opened_s, *(each[2] for each in seen)]
    assert times == sorted(times)
    assert (client.transcript.connected_s, client.transcript.done_s) == (times[1], times[-1])
    assert (client.close_code, conversation.socket.close_code) == (1000, 1000)
    assert client.outcome == Outcome(Exit.COMPLETE)
    assert client.transcript.balanced is True


async def _in_pieces(pcm, size):
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


@pytest.mark.parametrize(
    ("audio", "messages"),
    [(lambda pcm: pcm, 11), (lambda pcm: [pcm[:5], pcm[5:]], 11), (lambda pcm: _in_pieces(pcm, 8400), 4)],
    ids=["bytes", "iterable", "async iterable"],
)
def test_audio_of_any_kind(audio, messages):
    """Bytes and pieces become messages of 100 ms, those of an async iterable stay as they are."""
    pcm = tone(16_800, 16_000)
    _, (conversation,) = converse(hello, lambda client: consume(client.stream(audio(pcm))))
    assert (bytes(conversation.audio), conversation.messages) == (pcm, messages)


def test_stopping_ends_the_audio():
    """A stream that is stopped sends no more of its source, and the last words still come."""

    async def use(client):
        async for _ in client.stream(bytes(3_200_000), realtime=True):
            if client.transcript.tail == "word":
                client.stop_streaming()
        return client.transcript

    transcript, (conversation,) = converse(hello, use)
    assert (transcript.committed, transcript.complete, conversation.ended) == ("Hello world.", True, True)
    assert 1600 <= transcript.sent_samples < 16_000


def test_leaving_a_stream_early():
    """A loop that is left in the middle leaves nothing behind: the connection is closed properly."""

    async def use(client):
        async for event in client.stream(bytes(3_200_000), realtime=True):
            if isinstance(event, Partial):
                return client
        return None

    client, (conversation,) = converse(hello, use)
    assert (client.close_code, conversation.ended) == (1000, False)


async def transcribed(script, path):
    async with AsrServer(script) as server, asyncio.timeout(20):
        return await transcribe_file(path, server.url, language="en")


def test_a_file_in_one_call(speech):
    """A whole media file becomes a transcript."""
    assert asyncio.run(transcribed(hello, speech)).committed == "Hello world."


def test_a_file_whose_transcript_is_not_complete(speech):
    """What keeps a file's transcript from being complete is raised."""

    async def fail(conversation):
        await conversation.say("error", error="the worker is gone")
        await conversation.socket.close(1011)

    with pytest.raises(ClientError, match="the worker is gone"):
        asyncio.run(transcribed(fail, speech))


def test_token_and_query():
    """The token is a header, never a part of the address; further parameters are in the query."""
    options = {"token": "t0p", "query": {"encoding": "s16le"}, "language": "en"}
    _, (conversation,) = converse(hello, lambda client: consume(client.stream(bytes(3200))), mode="full", **options)
    assert conversation.path == "/asr?mode=full&language=en&encoding=s16le"
    assert conversation.headers["Authorization"] == "Bearer t0p"


def test_http_refusal():
    """An HTTP answer instead of a WebSocket is an error with its status."""

    def refuse(connection, request):
        return connection.respond(503, "full\n")

    async def once():
        async with AsrServer(hello, process_request=refuse) as server, connect(server.url):
            pytest.fail("connected")

    with pytest.raises(ConnectError, match="HTTP 503") as caught:
        asyncio.run(once())
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:8000/asr", "ws://127.0.0.1:8000/asr?mode=events"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/asr?mode=events"),
        ("https://speech.example/live/", "wss://speech.example/live/asr?mode=events"),
        ("localhost:8000", "ws://localhost:8000/asr?mode=events"),
        ("wss://speech.example/asr?tenant=a+b&mode=full", "wss://speech.example/asr?tenant=a+b&mode=events"),
        ("http://[::1]:8000/asr#top", "ws://[::1]:8000/asr?mode=events"),
    ],
)
def test_session_url(url, expected):
    """Any address of the server becomes the session's WebSocket address."""
    assert session_url(url, {"mode": "events"}) == expected


@pytest.mark.parametrize(
    "url", ["", "ftp://x/asr", "http://", "ws://x/asr?token=t0p", "ws://me:t0p@x/asr", "http://[::1", "ws://x:port/asr"]
)
def test_wrong_urls_are_named(url):
    """An address that is none, or carries a secret, is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        session_url(url, {})

"""A session outlives its connection: against a scripted server that cuts, forgets, refuses and comes back."""

import asyncio
import itertools
import json
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from whisper_live_client import SessionClosedError
from whisper_live_client.blocking_source import BlockingSource
from whisper_live_client.events import Status
from whisper_live_client.reconnect.audio_sender import UNRECEIVED_SAMPLES

from tests.client import sessions
from tests.client.sessions import consume, transcribe
from tests.scripts.scripted_server import in_turn, tone

LOST = "[connection lost, reconnecting…]"
HELLO, WORLD = ("Hello", 0.1, 0.5), ("world.", 0.6, 1.0)
AUDIO = tone(16_800, 16_000)


async def streamed(client, audio=AUDIO, *, realtime=True):
    await consume(client.stream(audio, realtime=realtime))
    return client


def converse(script, use=streamed, **options):
    """Return what `use` returned for a client of this script, and the connections that it made."""
    return sessions.converse(script, use, **{"reconnect_s": 10, **options})


def query_of(conversation):
    return {key: value for key, (value,) in parse_qs(urlsplit(conversation.path).query).items()}


async def begin(conversation):
    """Commit one word of an open segment, then break: 8 messages were said by then."""
    await conversation.welcome()
    await conversation.hear(until_bytes=22_400)
    await conversation.partial(1, "", "Hell", 0.1, 0.3)
    await conversation.partial(1, "Hello", "wor", 0.1, 0.6)
    await conversation.final(1, [HELLO])
    conversation.cut()


async def end(conversation):
    """Hear the rest, say it, and that all is said."""
    await conversation.hear()
    await conversation.partial(2, "world.", "", 0.6, 1.0)
    await conversation.final(2, [WORLD])
    await conversation.goodbye()


def back(seq=8, received=9000):
    """Make a script that resumes the session and goes on to its end."""

    async def go_on(conversation):
        await conversation.resume(seq=seq, received=received)
        await end(conversation)

    return go_on


def test_cut_and_resumed(speech):
    """The connection breaks while audio flows: it goes on at the very sample, and the words do not show it."""
    done, (first, second) = transcribe(in_turn(begin, back(received=9001)), speech, "--format", "json")
    assert done.code == 0
    assert bytes(first.audio)[: 2 * 9001] + bytes(second.audio) == AUDIO
    assert query_of(first) == {"mode": "events"}
    assert query_of(second) == {"mode": "events", "resume": "secret", "last_seq": "8"}
    body = json.loads(done.out)
    assert body["text"] == "Hello world."
    assert [(word["word"], word["start"]) for word in body["segments"][1]["words"]] == [("world.", 0.6)]
    assert (body["audio"]["received_samples"], body["connections_lost"], body["complete"]) == (16_800, 1, True)
    assert done.err.splitlines()[4:] == ["Hello", LOST, "[resumed]", "[Connected]", "world."]
    assert "secret" not in done.out + done.err


def test_cut_twice(speech):
    """The resumed connection breaks too, before and after words: the third one has the rest."""

    async def stumble(conversation):
        await conversation.resume(seq=8, received=9000)
        conversation.cut()

    async def stumble_again(conversation):
        await conversation.resume(seq=10, received=9000)
        await conversation.hear(until_bytes=8000)
        conversation.cut()

    done, connections = transcribe(in_turn(begin, stumble, stumble_again, back(12, 12_000)), speech)
    first, _, third, fourth = connections
    assert (done.code, done.out) == (0, "Hello\nworld.\n")
    assert bytes(first.audio)[:18_000] + bytes(third.audio)[:6000] + bytes(fourth.audio) == AUDIO
    assert [query_of(each).get("last_seq") for each in connections] == [None, "8", "10", "12"]
    assert done.err.count(LOST) == 3


def test_cut_during_the_flush(speech):
    """After the end marker no audio is sent again, but the marker is: the server need not have seen it."""

    async def hear_all(conversation):
        await conversation.welcome()
        await conversation.hear()
        conversation.cut()

    async def go_on(conversation):
        await conversation.resume(seq=6, received=16_800)
        await conversation.final(1, [HELLO])
        await end(conversation)

    done, (first, second) = transcribe(in_turn(hear_all, go_on), speech, "--fast")
    assert (done.code, done.out) == (0, "Hello\nworld.\n")
    assert bytes(first.audio) == AUDIO
    assert (bytes(second.audio), second.ended) == (b"", True)


def test_ready_to_stop_was_lost(speech):
    """All was said when the connection broke: what may not have arrived is said again, and stands there once."""

    async def say_all(conversation):
        await conversation.welcome()
        await conversation.hear()
        await conversation.final(1, [HELLO])
        await conversation.final(2, [WORLD])
        conversation.cut()

    async def say_again(conversation):
        await conversation.resume(seq=8, received=16_800)
        await conversation.final(1, [HELLO])
        await conversation.final(2, [WORLD])
        await conversation.goodbye()

    done, _ = transcribe(in_turn(say_all, say_again), speech, "--fast", "--verbose")
    assert (done.code, done.out) == (0, "Hello\nworld.\n")
    assert "connections lost: 1" in done.err
    assert "protocol:" not in done.err


@pytest.mark.parametrize("close", [1012, 1006])
def test_the_server_has_forgotten(speech, close):
    """A restarted server hears what is not final again: finals stay, open words are replaced, times go on."""

    async def stop(conversation):
        await conversation.welcome()
        await conversation.hear(until_bytes=16_000)
        await conversation.final(1, [HELLO])
        await conversation.partial(2, "wood", "cut", 0.6, 0.7)
        if close == 1012:
            await conversation.say("error", error="The service restarts", code="service_restart", retry_after_s=5)
            await conversation.socket.close(1012)
        conversation.cut()

    async def fresh(conversation):
        await conversation.welcome(session="s-2", resume_token="other", resumed=False, received=0)
        await conversation.hear(until_bytes=3200)
        await conversation.partial(1, "", "word", 0.1, 0.5)
        await conversation.hear()
        await conversation.final(1, [("world.", 0.1, 0.5)])
        await conversation.goodbye()

    done, (_, second) = transcribe(in_turn(stop, fresh), speech, "--format", "srt", "--verbose")
    expected = "1\n00:00:00,100 --> 00:00:00,500\nHello\n\n2\n00:00:00,600 --> 00:00:01,000\nworld.\n\n"
    assert (done.code, done.out) == (0, expected)
    assert query_of(second)["resume"] == "secret"
    assert bytes(second.audio) == AUDIO[2 * 8000 :]
    assert "[resumed in a new session: the server no longer had the old one]" in done.err
    assert "made final by a session before 0.50 s, received 0.55 s" in done.err
    assert "protocol:" not in done.err


def test_forgotten_twice():
    """Each fresh session begins where the last final ended, and is resumed by its own token and counts."""

    async def stop(conversation):
        await conversation.welcome()
        await conversation.hear(until_bytes=16_000)
        await conversation.final(1, [HELLO])
        conversation.cut()

    async def stop_again(conversation):
        await conversation.welcome(resume_token="second")
        await conversation.hear(until_bytes=8000)
        await conversation.final(1, [("big", 0.0, 0.2)])
        conversation.cut()

    async def once_more(conversation):
        await conversation.welcome(resume_token="third")
        await conversation.hear(until_bytes=3200)
        conversation.cut()

    async def go_on(conversation):
        await conversation.resume(seq=6, received=1000)
        await conversation.hear()
        await conversation.final(1, [("world.", 0.1, 0.3)])
        await conversation.goodbye()

    client, connections = converse(in_turn(stop, stop_again, once_more, go_on))
    transcript = client.transcript
    assert [query_of(each).get("resume") for each in connections] == [None, "secret", "second", "third"]
    assert [(word.text, word.start_s, word.end_s) for word in transcript.words] == [
        ("Hello", 0.1, 0.5),
        ("big", 0.5, 0.7),
        ("world.", 0.8, 1.0),
    ]
    assert bytes(connections[2].audio)[:2000] + bytes(connections[3].audio) == AUDIO[2 * 11_200 :]
    assert client.outcome.exit_code == 0
    assert transcript.violations == []


def test_it_never_comes_back(speech):
    """No server answers within the limit: exit 1, with what was transcribed and why."""
    opened = itertools.count()

    def gone(connection, request):
        return connection.respond(503, "away\n") if next(opened) else None

    done, connections = transcribe(begin, speech, "--reconnect", "1", process_request=gone)
    assert (done.code, done.out, len(connections)) == (1, "Hello\n", 1)
    assert next(opened) > 3
    last = "the connection was lost and not restored within 1 s: 127.0.0.1 answered HTTP 503, no WebSocket"
    assert done.err.splitlines()[-2:] == [LOST, last]


def test_each_loss_has_its_own_bound():
    """A session that went on after a loss may be lost again, however long ago the first loss was."""

    async def go_on_for_a_while(conversation):
        await conversation.resume(seq=8, received=9000)
        await conversation.partial(2, "", "wor", 0.6, 0.7)
        await asyncio.sleep(1.2)
        conversation.cut()

    client, _ = converse(in_turn(begin, go_on_for_a_while, back(seq=12)), reconnect_s=1)
    transcript = client.transcript
    assert (transcript.committed, transcript.complete, transcript.disconnects) == ("Hello world.", True, 2)


def test_refused_for_good(speech):
    """A token that is no longer right is not tried again."""

    async def deny(conversation):
        await conversation.socket.send('{"type":"error","error":"The token is not valid"}')
        await conversation.socket.close(4401)

    done, connections = transcribe(in_turn(begin, deny), speech)
    assert (done.code, done.out, len(connections)) == (4, "Hello\n", 2)
    assert done.err.splitlines()[-1] == "The token is not valid"


def test_full_when_it_comes_back(speech):
    """A server without room for the session that it has lost is asked again when it said."""
    times = []

    async def full(conversation):
        times.append(asyncio.get_running_loop().time())
        await conversation.say("config", mode="events", session="s-2", resume_token="other", resumed=False, received=0)
        await conversation.say("error", error="No GPU resources available", code="no_capacity", retry_after_s=0.7)
        await conversation.socket.close(1013)

    async def fresh(conversation):
        times.append(asyncio.get_running_loop().time())
        await conversation.welcome(session="s-3")
        await conversation.hear()
        await conversation.final(1, [("world.", 0.1, 0.5)])
        await conversation.goodbye()

    done, connections = transcribe(in_turn(begin, full, fresh), speech, "--verbose")
    assert (done.code, done.out) == (0, "Hello\nworld.\n")
    assert 0.7 <= times[1] - times[0] < 5
    assert bytes(connections[2].audio) == AUDIO[2 * 8000 :]
    assert done.err.count(LOST) == 2
    assert "protocol:" not in done.err


@pytest.mark.parametrize("resumed", [True, False])
def test_full_mode(resumed):
    """In mode=full a session is resumed too; a fresh one begins at the end of the last line."""

    def update(*lines, tail=""):
        told = [{"speaker": 1, "text": text, "start": start, "end": stop} for text, start, stop in lines]
        return json.dumps({"status": "active_transcription", "lines": told, "buffer_transcription": tail})

    async def stop(conversation):
        await conversation.socket.send('{"type":"config","mode":"full","session":"s-1","resume_token":"secret"}')
        await conversation.hear(until_bytes=22_400)
        await conversation.socket.send(update(("Hello", "0:00:00.10", "0:00:00.50"), tail="wor"))
        conversation.cut()

    async def go_on(conversation):
        config = {"mode": "full", "resume_token": "secret", "resumed": resumed, "received": 9000 if resumed else 0}
        await conversation.socket.send(json.dumps({"type": "config", **config}))
        await conversation.hear()
        if resumed:
            await conversation.socket.send(update(("Hello world.", "0:00:00.10", "0:00:01.00")))
        else:
            await conversation.socket.send(update(("world.", "0:00:00.10", "0:00:00.50")))
        await conversation.socket.send('{"type":"ready_to_stop"}')
        await conversation.socket.wait_closed()

    client, (_, second) = converse(in_turn(stop, go_on), mode="full")
    transcript = client.transcript
    assert query_of(second) == {"mode": "full", "resume": "secret"}
    assert bytes(second.audio) == AUDIO[2 * (9000 if resumed else 8000) :]
    assert transcript.committed == "Hello world."
    assert [segment.end_s for segment in transcript.segments.values()] == ([1.0] if resumed else [0.5, 1.0])
    assert transcript.violations == []


def test_the_caller_sees_what_happens():
    """The loss and the return are statuses, in their place among the server's events."""

    async def use(client):
        events = client.stream(AUDIO, realtime=True)
        seen = [each.message if isinstance(each, Status) else type(each).__name__ async for each in events]
        return seen, client.transcript

    (seen, transcript), _ = converse(in_turn(begin, back()), use)
    begins = seen.index("Final") + 1
    assert seen[begins : begins + 4] == ["connection lost, reconnecting…", "Config", "resumed", "Connected"]
    assert transcript.disconnects == 1


def test_a_connection_that_says_nothing_is_left():
    """A server that accepts the session back but never answers is tried again like one that is not there."""

    async def mute(conversation):
        await conversation.socket.wait_closed()

    client, connections = converse(in_turn(begin, mute, back()), connect_timeout_s=0.3)
    assert (client.transcript.committed, len(connections)) == ("Hello world.", 3)


def test_a_server_that_counts_too_much():
    """A server that has more audio than was spoken cannot be right: the session ends and says so."""

    async def lie(conversation):
        await conversation.resume(seq=8, received=99_999)
        await conversation.hear()

    client, _ = converse(in_turn(begin, lie), partial(streamed, realtime=False))
    assert client.problem == "the session cannot go on: sample 99999 is not kept (0 to 16800 are)"
    assert client.transcript.committed == "Hello"


def test_a_minute_is_taken_while_the_connection_is_away():
    """Audio goes on being taken until a minute of it waits, then the sender does; all of it arrives in the end."""
    waits = asyncio.Event()

    async def go_on(conversation):
        await waits.wait()
        await back(received=11_200)(conversation)

    second = tone(16_000, 16_000)

    async def use(client):
        await client.send(bytes(22_400))
        reader = asyncio.create_task(consume(client))
        while not client.transcript.disconnects:
            await asyncio.sleep(0.01)
        taken = 0
        try:
            for _ in range(100):
                async with asyncio.timeout(0.5):
                    await client.send(second)
                taken += 16_000
        except TimeoutError:
            waits.set()
        await client.send(second)
        await client.finish()
        await reader
        return taken, client.transcript

    (taken, transcript), (_, last) = converse(in_turn(begin, go_on), use)
    assert taken == UNRECEIVED_SAMPLES - 16_000
    assert bytes(last.audio) == second * (taken // 16_000 + 1)
    assert transcript.accounting.received == transcript.sent_samples


@pytest.mark.parametrize("late", [0, 1])
def test_no_more_than_a_minute_is_on_its_way(late):
    """However fast the source, the network holds no more than can be sent again: a cut there loses nothing."""
    audio = tone(16_000, 16_000) * 200

    async def slow(conversation):
        await asyncio.sleep(0.5 * late)  # whatever the network takes is on its way by now
        await conversation.welcome()
        await asyncio.sleep(0.5)
        conversation.cut()

    client, (_, second) = converse(in_turn(slow, back(5, 0)), partial(streamed, audio=audio, realtime=False))
    assert bytes(second.audio) == audio
    assert client.outcome.exit_code == 0


def test_sending_after_the_end_of_all_tries():
    """Once the session is given up sending does not wait: it says that the connection is closed."""

    async def use(client):
        await consume(client)
        with pytest.raises(SessionClosedError):
            await client.send(bytes(3200))

    async def leave(conversation):
        await conversation.welcome()
        await conversation.socket.close(1011)

    converse(leave, use)


def test_a_live_source_is_never_kept_waiting():
    """What a microphone hears while it is not taken is dropped past the limit, and counted; the rest is in order."""
    read = []

    def spoken():
        for number in range(10):
            read.append(number)
            yield bytes([number] * 2)

    async def once():
        source = BlockingSource(spoken(), ahead=4, live=True)
        await asyncio.to_thread(source.thread.join, 10)
        return [block[0] async for block in source], source.lost_bytes

    heard, lost_bytes = asyncio.run(once())
    assert read == list(range(10))
    assert (heard, lost_bytes) == ([0, 1, 2, 3], 12)

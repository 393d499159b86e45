"""scripts/transcribe as a process against a scripted server."""

import asyncio
import json
import re
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE

import pytest

from tests.client.sessions import transcribe
from tests.scripts.scripted_server import AsrServer, Finished, encode, end_of, hello, start_command, tone


def test_words_are_printed(speech):
    """Audio goes in real time; the transcript is on stdout, statuses and committed lines are on stderr, the code is 0."""
    started = time.monotonic()
    done, (conversation,) = transcribe(hello, speech)
    assert time.monotonic() - started > 1.05
    assert (done.code, done.out) == (0, "Hello world.\n")
    assert done.err.splitlines() == [
        "[Connected]",
        "[Allocating GPU...]",
        "[Loading models on GPU 0...]",
        "[Ready to transcribe]",
        "Hello world.",
    ]
    assert (bytes(conversation.audio), conversation.messages) == (tone(16_800, 16_000), 11)


def test_fast_is_slowed_down_by_the_server(tmp_path):
    """Twenty minutes of audio do not wait for the clock, but for a server that does not read; when it reads on, nothing is missing."""
    path = tmp_path / "long.raw"
    path.write_bytes(bytes(40_000_000))
    stuck = []

    async def slow(conversation):
        await conversation.welcome()
        await conversation.hear(until_bytes=32_000)
        reads = -1
        while reads != (reads := _bytes_read(process.pid)):
            await asyncio.sleep(0.5)
        stuck.append(reads)
        await conversation.hear()
        await conversation.goodbye()

    async def once():
        nonlocal process
        async with AsrServer(slow, max_queue=1) as server:
            process = await start_command(path, "--raw", "--fast", "--quiet", "--url", server.url)
            return await end_of(process), server

    process = None
    done, server = asyncio.run(once())
    assert done.code == 0
    assert stuck[0] < 30_000_000
    assert len(server.conversations[0].audio) == 40_000_000


def _bytes_read(pid):
    """Count what a process has read so far (its libraries included)."""
    with open(f"/proc/{pid}/io") as figures:  # noqa: PTH123
        return int(figures.readline().split()[1])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("srt", "1\n00:00:00,100 --> 00:00:01,000\nHello world.\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.100 --> 00:00:01.000\nHello world.\n\n"),
        ("text", "Hello world.\n"),
    ],
)
def test_formats(speech, tmp_path, kind, expected):
    """Each format is exact, on stdout or in the file of --output, and then stdout stays empty."""
    assert transcribe(hello, speech, "--fast", "--format", kind)[0].out == expected
    done, _ = transcribe(hello, speech, "--fast", "--format", kind, "--output", tmp_path / "words")
    assert (done.code, done.out, (tmp_path / "words").read_text()) == (0, "", expected)


def test_json_has_words_books_and_times(speech):
    """JSON carries the words with their times, the accounting and the timing figures."""
    done, _ = transcribe(hello, speech, "--format", "json")
    body = json.loads(done.out)
    assert done.code == 0
    assert body["text"] == "Hello world."
    assert body["segments"][0]["words"][1] == {"word": "world.", "start": 0.6, "end": 1.0, "probability": 0.5}
    assert body["complete"] is True
    assert (body["model"], body["device"], body["language"]) == ("tiny.en", "cpu", "en")
    assert body["audio"] == {
        "sent_samples": 16_800,
        "received_samples": 16_800,
        "transcribed_samples": 16_800,
        "silence_samples": 0,
        "unclear_samples": 0,
        "dropped_samples": 0,
    }
    assert 0 <= body["timing"]["first_word_s"] < 30
    assert 0 <= body["timing"]["flush_s"] < 30
    assert "secret" not in done.out + done.err


def test_verbose_says_the_books(speech):
    """--verbose prints the accounting and the flush time on stderr."""
    done, _ = transcribe(hello, speech, "--fast", "--verbose", "--quiet")
    assert "audio: sent 1.05 s, received 1.05 s, transcribed 1.05 s, silence 0.00 s, dropped 0.00 s" in done.err
    assert re.search(r"flush took \d+\.\d", done.err)


def test_parameters_and_token_travel_where_they_should(speech):
    """Mode, language and task are in the query, the token is in the Authorization header only."""
    options = ["--fast", "--mode", "full", "--language", "fr", "--task", "translate"]
    done, (conversation,) = transcribe(hello, speech, *options, environment={"API_TOKEN": "t0p"})
    assert done.code == 0
    assert conversation.path == "/asr?mode=full&language=fr&task=translate"
    assert conversation.headers["Authorization"] == "Bearer t0p"


@pytest.mark.parametrize("raw", [True, False])
def test_a_pipe(speech, raw):
    """Raw PCM or a container comes from stdin; a lone byte at the end of raw audio is no sample."""
    pcm = tone(16_800, 16_000)
    options, data = (["--raw"], pcm + b"\x01") if raw else ([], speech.read_bytes())
    done, conversations = transcribe(hello, "-", "--fast", *options, data=data)
    assert (done.code, done.out) == (0, "Hello world.\n")
    assert bytes(conversations[0].audio) == pcm


@pytest.mark.parametrize(
    ("close_code", "error", "exit_code", "printed"),
    [
        (4401, {"error": "Invalid token"}, 4, "Invalid token"),
        (4400, {"error": "language: 'klingon' is not one"}, 4, "language: 'klingon' is not one"),
        (4403, {"error": "Origin"}, 4, "Origin"),
        (1013, {"error": "No GPU", "code": "no_capacity", "retry_after_s": 5}, 3, "No GPU (try again in 5 s)"),
    ],
)
def test_refused(speech, close_code, error, exit_code, printed):
    """A wrong token, parameter or origin ends with 4, a full server with 3; the server's sentence is on stderr."""

    async def refuse(conversation):
        await conversation.say("error", **error)
        await conversation.socket.close(close_code)

    done, _ = transcribe(refuse, speech, "--quiet")
    assert (done.code, done.out, done.err) == (exit_code, "", f"{printed}\n")


async def fail(conversation):
    await conversation.say("error", error="the worker is gone", code="recognition_failed")
    await conversation.socket.close(1011)


async def vanish(conversation):
    await conversation.hear(until_bytes=3200)
    conversation.cut()


async def forget(conversation):
    await conversation.hear()
    await conversation.goodbye(received=5)


@pytest.mark.parametrize(
    ("end", "printed"),
    [
        (fail, "the worker is gone\nnot committed: wor\n"),
        (vanish, "the connection broke before everything was said\nnot committed: wor\n"),
        (forget, "the server received 5 samples, 16800 were sent\n"),
    ],
)
def test_what_is_not_complete_keeps_its_words(speech, end, printed):
    """A server that fails, vanishes or counts too few samples: exit 1, committed words are printed, the tail is named on stderr."""

    async def script(conversation):
        await conversation.welcome()
        await conversation.partial(0, "Hello", "wor")
        await end(conversation)

    done, _ = transcribe(script, speech, "--quiet", "--reconnect", "0")
    assert (done.code, done.out, done.err) == (1, "Hello\n", printed)


def test_no_server(speech):
    """No server listens: exit 1 and one line."""
    for host in ("127.0.0.1", "localhost"):
        done = asyncio.run(_alone(speech, "--url", f"ws://{host}:9/asr", "--quiet"))
        sentence = f"nothing listens at ws://{host}:9/asr; is scripts/serve running, on another PORT?\n"
        assert (done.code, done.out, done.err) == (1, "", sentence)


async def _alone(*arguments):
    return await end_of(await start_command(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.wav", "--mic"),
        ("a.wav", "--device", "x"),
        ("a.wav", "--url", "ftp://somewhere"),
        ("a.wav", "--url", "ws://127.0.0.1/asr?token=t0p"),
        ("a.wav", "--format", "doc"),
        ("a.wav", "--output", "/no/such/directory/a.txt"),
        ("/no/such/file.wav",),
        ("/no/such/file.pcm", "--raw"),
        ("/",),
    ],
)
def test_wrong_usage(arguments):
    """A wrong call or an unreadable file ends with 2, before any connection, without a traceback."""
    done = asyncio.run(_alone(*arguments))
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert done.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"these are no sounds\n" * 50, "there is no audio in it"),
        (bytes(range(256)) * 20, "not audio or video that can be read"),
        (b"", "not audio or video that can be read"),
    ],
)
def test_no_media(tmp_path, content, sentence):
    """A file that is no media, or has no audio: one line, exit 2."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    done = asyncio.run(_alone(path))
    assert (done.code, done.out, done.err) == (2, "", f"{path}: {sentence}\n")


def test_help_names_the_exit_codes():
    """--help documents every exit code."""
    done = asyncio.run(_alone("--help"))
    assert done.code == 0
    for code in ("0", "1", "2", "3", "4", "130"):
        assert f"\n    {code} " in done.out


def test_one_interrupt_flushes(tmp_path):
    """Ctrl-C stops the audio, the server says the rest, and it is printed."""
    path = encode(tmp_path / "long.wav", "pcm_s16le", rate=16_000, samples=960_000)
    done, conversation = asyncio.run(_interrupted(hello, path, "--quiet", times=1))
    assert (done.code, done.out) == (0, "Hello world.\n")
    assert 3200 <= len(conversation.audio) < 960_000
    assert conversation.ended


def test_an_interrupted_pipe_does_not_hang():
    """Ctrl-C ends the session although the pipe stays open and silent."""
    done, conversation = asyncio.run(_interrupted(hello, "-", "--raw", "--quiet", times=1, pipe=tone(3200, 16_000)))
    assert (done.code, done.out) == (0, "Hello world.\n")
    assert len(conversation.audio) == 6400


def test_two_interrupts_quit(tmp_path):
    """A second Ctrl-C does not wait for a server that never answers."""

    async def mute(conversation):
        await conversation.welcome()
        await conversation.partial(0, "Hello", "")
        await conversation.hear()
        await asyncio.sleep(30)

    path = encode(tmp_path / "long.wav", "pcm_s16le", rate=16_000, samples=960_000)
    done, conversation = asyncio.run(_interrupted(mute, path, "--quiet", times=2))
    assert (done.code, done.out) == (130, "Hello\n")
    assert conversation.ended


def test_microphone(alsa):
    """--mic sends what the sound card hears until Ctrl-C, then the rest is said."""
    done, conversation = asyncio.run(_interrupted(hello, "--mic", "--device", "alsa:tape", "--quiet", times=1))
    assert (done.code, done.out) == (0, "Hello world.\n")
    assert max(conversation.audio[1:6400:2]) > 10


async def _interrupted(script, *arguments, times, pipe=None, **environment):
    """Interrupt the command once audio flows; the second time when the end marker is there."""
    async with AsrServer(script) as server:
        stdin = DEVNULL if pipe is None else PIPE
        process = await start_command(*arguments, "--url", server.url, stdin=stdin, **environment)
        if pipe is not None:
            process.stdin.write(pipe)
            await process.stdin.drain()
        await _until(lambda: server.conversations and len(server.conversations[0].audio) >= 6400)
        process.send_signal(signal.SIGINT)
        if times == 2:
            await _until(lambda: server.conversations[0].ended)
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
            code = await process.wait()
        return Finished(code, out.decode(), err.decode()), server.conversations[0]


async def _until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)

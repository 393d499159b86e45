"""Faults 22 and 27: what a machine's encoding, disk or proxy made of a finished transcript."""

import asyncio
import re
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.client.sessions import transcribe
from tests.scripts.scripted_server import AsrServer, Finished, end_of, hello, start_command

WORDS = [("Grüße,", 0.1, 0.5), ("世界 🎈", 0.6, 1.0)]


async def greeting(conversation):
    """Say something that ASCII lacks."""
    await conversation.welcome()
    await conversation.hear()
    await conversation.final(0, WORDS)
    await conversation.goodbye()


def run_into(stdout, *arguments, script=hello):
    """Run the command with standard output led into an open file."""

    async def once():
        async with AsrServer(script) as server:
            process = await start_command(*arguments, "--url", server.url, "--quiet", stdout=stdout)
            async with asyncio.timeout(60):
                _, err = await process.communicate()
            return Finished(process.returncode, "", err.decode())

    return asyncio.run(once())


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
    ids=str,
)
@pytest.mark.parametrize("form", ["text", "srt"])
def test_fault_22_every_encoding_gets_the_text(speech, *, environment, form):
    """Relatives: other code pages, a C locale, other formats. It was a traceback and 0 bytes after an hour's work."""
    arguments = ("--fast", "--quiet", "--format", form)
    done, _ = transcribe(greeting, speech, *arguments, environment=environment)
    assert done.code == 0
    assert "Grüße, 世界 🎈" in done.out
    assert "Traceback" not in done.err


def test_fault_22_a_full_disk_loses_nothing(speech):
    """The sentence names the reason and where the text is now."""
    with Path("/dev/full").open("w") as full:
        done = run_into(full, speech, "--fast")
    assert done.code == 1
    told = re.fullmatch(r"standard output: No space left on device; the transcript is in (\S+)\n", done.err)
    assert told, done.err
    kept = Path(told[1])
    assert kept.read_text() == "Hello world.\n"
    kept.unlink()


def test_fault_22_a_full_disk_under_output(speech):
    """Relative: ``--output`` on a full disk; the text is on standard output."""
    done, _ = transcribe(hello, speech, "--fast", "--quiet", "--output", "/dev/full")
    assert (done.code, done.out) == (1, "Hello world.\n")
    assert done.err == "/dev/full: No space left on device; the transcript is on standard output\n"


def test_fault_22_a_reader_that_wants_no_more(speech):
    """Relative: a pipe whose reader has gone is no error, and no traceback."""

    async def once():
        async with AsrServer(hello) as server:
            command = await start_command(speech, "--fast", "--quiet", "--url", server.url, stdout=PIPE)
            command.stdout._transport.close()
            async with asyncio.timeout(60):
                err = await command.stderr.read()
                return await command.wait(), err.decode()

    assert asyncio.run(once()) == (0, "")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SOCKS_PROXY": "socks5h://127.0.0.1:9"}, "a SOCKS proxy, which needs python-socks"),
        ({"https_proxy": "socks4://127.0.0.1:9"}, "a SOCKS proxy, which needs python-socks"),
        (
            {"HTTP_PROXY": "gopher://127.0.0.1:9", "http_proxy": "gopher://127.0.0.1:9"},
            "the proxy that the environment",
        ),
        ({"https_proxy": "http://127.0.0.1:9"}, "(through the proxy that the environment names"),
    ],
    ids=str,
)
def test_fault_27_a_proxy_of_the_environment(speech, *, environment, sentence):
    """Relatives: socks4, a proxy of no known kind, one that does not answer. It was a traceback of an ImportError."""

    async def once():
        options = ("--url", "ws://transcription.invalid/asr", "--reconnect", "0", "--quiet")
        return await end_of(await start_command(speech, *options, **environment))

    done = asyncio.run(once())
    assert done.code == 1
    assert sentence in done.err
    assert "NO_PROXY=transcription.invalid" in done.err
    assert len(done.err.splitlines()) == 1

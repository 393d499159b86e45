"""live_display: what a person sees on a terminal, through a real pseudo-terminal."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
from asyncio.subprocess import DEVNULL

from tests.scripts.scripted_server import AsrServer, start_command

DIM = "\x1b[2m"


def on_a_terminal(script, *arguments, stdout_too):
    """Run the command with its stderr (and stdout if asked) on a terminal; returns what was written there."""

    async def once():
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        async with AsrServer(script) as server, asyncio.timeout(30):
            stdout = slave if stdout_too else DEVNULL
            process = await start_command(
                *arguments, "--url", server.url, stdout=stdout, stderr=slave, TERM="xterm-256color"
            )
            os.close(slave)
            screen = await asyncio.to_thread(_drain, master)
            assert await process.wait() == 0
            return screen

    return asyncio.run(once())


def _drain(master):
    """Read a terminal until the last process has closed it."""
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux reports the end of a pseudo-terminal as EIO
            return written.decode()
        written += piece


def left_on_screen(written):
    """Do what a terminal does with line ends, cursor-up and erase-line; returns the lines that are left."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= int(token[2:-1] or 1)
        elif token == "\x1b[2K":
            lines[row] = ""
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines if line.strip()]


async def slowly(conversation):
    """Leave a tail on the screen long enough for a refresh, then end as usual."""
    await conversation.welcome()
    await conversation.hear(until_bytes=3200)
    await conversation.partial(0, "Hello", "[red]wor\x1b[8m", 0.1, 0.9)
    await asyncio.sleep(0.4)
    await conversation.hear()
    await conversation.final(0, [("Hello", 0.1, 0.5), ("world.", 0.6, 1.0)])
    await conversation.goodbye()


def test_committed_words_are_plain_and_the_tail_is_dim(speech):
    """The tail is dim, committed words are not; the model's text is neither markup nor escape codes."""
    screen = on_a_terminal(slowly, speech, stdout_too=True)
    assert re.search(rf"Hello {re.escape(DIM)}\[red\]wor \[8m", screen)
    assert "\x1b[8m" not in screen
    assert "Ready to transcribe · 0:00 of 0:01" in screen
    # At the end the live text is wiped and the transcript stands there, once.
    assert left_on_screen(screen) == ["Hello world."]


def test_closed_segments_stay_when_stdout_is_elsewhere(speech):
    """With the transcript going elsewhere, closed segments stay on the terminal."""
    screen = on_a_terminal(slowly, speech, stdout_too=False)
    assert left_on_screen(screen) == ["Hello world."]


def test_long_text_fits_the_terminal(speech):
    """However long the text, the newest words are on the screen and it does not grow past its height."""

    async def talkative(conversation):
        await conversation.welcome()
        words = " ".join(f"word{number}" for number in range(3000))
        await conversation.partial(0, words, "newest")
        await asyncio.sleep(0.4)
        await conversation.hear()
        await conversation.goodbye()

    screen = on_a_terminal(talkative, speech, "--fast", "--output", os.devnull, stdout_too=True)
    before_wipe = screen.rpartition("\x1b[2K")[0]
    frames = [frame for frame in before_wipe.split("Ready to transcribe") if "newest" in frame]
    assert frames
    assert all(frame.count("\n") < 24 for frame in frames)

"""A server that speaks `/asr` by a script, media files made on the spot, and the command as a process."""

import array
import asyncio
import contextlib
import json
import math
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass, field
from pathlib import Path

import av
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

ACK_SAMPLES = 16_000
ROOT = Path(__file__).resolve().parents[2]
STATUSES = {
    "connected": "Connected",
    "allocating": "Allocating GPU...",
    "loading": "Loading models on GPU 0...",
    "ready": "Ready to transcribe",
}


@dataclass
class Conversation:
    """One connection to the scripted server, as its script sees it."""

    socket: object
    path: str
    headers: object
    audio: bytearray = field(default_factory=bytearray)
    texts: list = field(default_factory=list)
    messages: int = 0
    ended: bool = False
    seq: int = 0
    acked: int = 0
    first_sample: int = 0

    async def say(self, kind, **fields):
        """Send one message with the next seq."""
        self.seq += 1
        await self.socket.send(json.dumps({"type": kind, "seq": self.seq, **fields}))

    @property
    def received(self):
        """Count the samples of the session, those of the connections before included."""
        return self.first_sample + len(self.audio) // 2

    async def welcome(self, **fields):
        """Send the config and the four statuses."""
        facts = {"session": "s-1", "resume_token": "secret", "model": "tiny.en", "device": "cpu"}
        await self.say("config", mode="events", **facts | fields)
        for code, message in STATUSES.items():
            await self.say("status", code=code, message=message, gpu_id=0)

    async def resume(self, seq, received):
        """Welcome a client back to a session that has said ``seq`` messages and has so many samples."""
        self.seq, self.first_sample, self.acked = seq, received, received
        await self.say("config", mode="events", session="s-1", resume_token="secret", resumed=True, received=received)
        await self.say("status", code="connected", message="Connected")

    def cut(self):
        """Break the connection without a close."""
        self.socket.transport.abort()

    async def hear(self, until_bytes=None):
        """Read audio until the end marker, or until so many bytes are there; acknowledge each second of it."""
        while not self.ended and (until_bytes is None or len(self.audio) < until_bytes):
            frame = await self.socket.recv()
            if isinstance(frame, str):
                self.texts.append(frame)
            elif frame:
                self.audio += frame
                self.messages += 1
                if self.received - self.acked >= ACK_SAMPLES:
                    self.acked = self.received
                    await self.say("ack", received=self.acked, committed_until=0)
            else:
                self.ended = True

    async def partial(self, segment, committed, tail, start=0.0, end=1.0):
        """Say a partial."""
        await self.say("partial", segment=segment, committed=committed, tail=tail, start=start, end=end)

    async def final(self, segment, words, language="en"):
        """Say a final made of (word, start, end)."""
        await self.say(
            "final",
            segment=segment,
            text=" ".join(word for word, _, _ in words),
            start=words[0][1],
            end=words[-1][2],
            language=language,
            words=[{"word": word, "start": start, "end": end, "probability": 0.5} for word, start, end in words],
        )

    async def goodbye(self, **books):
        """Say that everything is said, with books that add up unless told otherwise, and wait."""
        samples = self.received
        audio = {"received": samples, "transcribed": samples, "silence": 0, "dropped": 0, **books}
        await self.say("ready_to_stop", audio=audio)
        await self.socket.wait_closed()


HELLO = [("Hello", 0.1, 0.5), ("world.", 0.6, 1.0)]


async def hello(conversation):
    """Play the shortest whole session: a tail, then a committed word, then the final."""
    await conversation.welcome()
    await conversation.hear(until_bytes=3200)
    await conversation.partial(0, "", "hollow", 0.1, 0.5)
    await conversation.partial(0, "Hello", "word", 0.1, 1.0)
    await conversation.hear()
    await conversation.final(0, HELLO)
    await conversation.goodbye()


def in_turn(*scripts):
    """Make one script that plays each of these for one connection; a connection too many is closed with 4400."""
    left = iter(scripts)

    async def play(conversation):
        script = next(left, None)
        if script is None:
            await conversation.socket.close(4400, "a connection too many")
        else:
            await script(conversation)

    return play


class AsrServer:
    """Runs a script for each connection; keeps the conversations."""

    def __init__(self, script, **options):
        self._script = script
        self._options = options
        self.conversations = []
        self._tasks = []

    async def __aenter__(self):
        self._server = await serve(
            self._talk,
            "127.0.0.1",
            0,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
            **self._options,
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/asr"
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, socket):
        conversation = Conversation(socket, socket.request.path, socket.request.headers)
        self.conversations.append(conversation)
        self._tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionClosed):
            await self._script(conversation)


@dataclass
class Finished:
    """What a command did."""

    code: int
    out: str
    err: str


async def start_command(*arguments, script="transcribe", stdin=DEVNULL, stdout=PIPE, stderr=PIPE, **environment):
    """Start a script of scripts/ by the interpreter of the tests."""
    clean = {key: value for key, value in os.environ.items() if key not in ("API_TOKEN", "WHISPER_LIVE_URL")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "scripts" / script),
        *map(str, arguments),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**clean, **{key: str(value) for key, value in environment.items()}},
    )


async def end_of(process, data=None):
    """Wait for a command and collect what it printed."""
    async with asyncio.timeout(200):
        out, err = await process.communicate(data)
    return Finished(process.returncode, out.decode(), err.decode())


def tone(samples, rate, channels=1):
    """Make interleaved s16 samples of a 300 Hz tone."""
    values = (round(9000 * math.sin(2 * math.pi * 300 * n / rate)) for n in range(samples))
    return array.array("h", (value for value in values for _ in range(channels))).tobytes()


def encode(path, codec, *, rate, samples, layout="mono", **options):
    """Write a media file with a tone in it."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        channels = len(av.AudioLayout(layout).channels)
        pcm = tone(samples, rate, channels)
        resampler = av.AudioResampler(
            format=stream.codec_context.format or "s16", layout=layout, rate=rate, frame_size=1024
        )
        frame = av.AudioFrame("s16", layout, samples)
        frame.planes[0].update(pcm.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = rate
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            if piece is not None:
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path

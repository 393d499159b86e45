"""One raw connection to ``/asr``: sends what it is told to, keeps every message, and checks the order of what came."""

import asyncio
import contextlib
import itertools
import json
from typing import Self

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

STATUSES = ("Connected", "Allocating GPU...", "Loading models on GPU {}...", "Ready to transcribe")
FRAME_BYTES = 3200
SAMPLE_RATE = 16_000


class Talk:
    """A session from the client's side; an async context manager.

    Messages are taken as they come, or, unless ``reading``, once `read` is called; options are for `websockets.connect`.
    """

    def __init__(self, server, *, mode: str = "events", reading: bool = True, query: str = "", **options) -> None:
        self.mode = mode
        self.messages: list[dict] = []
        self._url = f"ws://127.0.0.1:{server.port}/asr?mode={mode}{query}"
        self._reading = reading
        # A small buffer of our own: a client that does not read is then seen by the server soon.
        self._options = {
            "compression": None,
            "ping_interval": None,
            "proxy": None,
            "max_queue": 4,
            "close_timeout": 5,
        } | options
        self._news = asyncio.Condition()
        self._reader: asyncio.Task | None = None

    async def __aenter__(self) -> Self:
        self.socket = await connect(self._url, **self._options)
        if self._reading:
            self.read()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave properly; cut the connection when something failed or no message is read."""
        if kind is None and self._reader and not self._reader.done():
            with contextlib.suppress(TimeoutError):
                await self.socket.close()
        if self._reader:
            self._reader.cancel()
        await self.cut()

    async def cut(self) -> None:
        """Break the connection without a word, as a lost network does."""
        self.socket.transport.abort()
        await self.socket.wait_closed()

    def read(self, pause_s: float = 0.0) -> None:
        """Take messages from now on, one in ``pause_s``."""
        self._reader = asyncio.create_task(self._read(pause_s))

    async def _read(self, pause_s: float) -> None:
        try:
            async for text in self.socket:
                await asyncio.sleep(pause_s)
                async with self._news:
                    self.messages.append(json.loads(text))
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            async with self._news:
                self._news.notify_all()

    # --- what it does ---------------------------------------------------------------------------------------

    async def send(self, pcm: bytes, *, size: int = FRAME_BYTES, real_time: bool = False) -> None:
        """Send audio in pieces of ``size`` bytes, at its own pace or as fast as the server takes it."""
        began = asyncio.get_running_loop().time()
        for at in range(0, len(pcm), size):
            if real_time:
                due = began + (at + size) / (2 * SAMPLE_RATE)
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await self.socket.send(pcm[at : at + size])

    async def control(self, text: str) -> None:
        """Send a text frame."""
        await self.socket.send(text)

    async def finish(self) -> None:
        """End the audio."""
        await self.socket.send(b"")

    # --- what it waits for ----------------------------------------------------------------------------------

    async def until(self, condition, limit_s: float = 60.0):
        """Return the first true value of ``condition(self)``; fail when the server closes or is too late."""
        try:
            async with asyncio.timeout(limit_s), self._news:
                while not (value := condition(self)):
                    assert not self._reader.done(), f"closed with {self.close} before: {self.messages[-5:]}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {limit_s:g} s; last came {self.messages[-5:]}") from None
        return value

    async def ready(self) -> Self:
        """Wait for "Ready to transcribe"."""
        await self.until(lambda talk: STATUSES[-1] in talk.statuses)
        return self

    async def words(self, count: int, limit_s: float = 60.0) -> None:
        """Wait until ``count`` words are shown, committed or not."""
        await self.until(lambda talk: len(talk.shown.split()) >= count, limit_s)

    async def ended(self, limit_s: float = 80.0) -> int:
        """Wait until the server has closed; return the close code."""
        async with asyncio.timeout(limit_s):
            await self._reader
            await self.socket.wait_closed()
        return self.close

    async def done(self, limit_s: float = 80.0) -> dict:
        """Wait for ``ready_to_stop``; return its books, which must balance."""
        last = await self.until(lambda talk: talk.of("ready_to_stop"), limit_s)
        books = last[0]["audio"]
        assert books["received"] == books["transcribed"] + books["silence"] + books["unclear"] + books["dropped"], books
        self.check()
        return books

    async def say(self, speech, **options) -> str:
        """Send a whole `Speech`, end the audio, wait for the end, and return the committed text."""
        await self.send(speech.pcm.tobytes(), **options)
        await self.finish()
        books = await self.done()
        assert (books["received"], books["dropped"]) == (len(speech.pcm), 0)
        return self.text

    # --- what it has heard ----------------------------------------------------------------------------------

    @property
    def close(self) -> int | None:
        """Return the code with which the server closed."""
        return self.socket.close_code

    @property
    def statuses(self) -> list[str]:
        """Return the status sentences in their order."""
        return [message["message"] for message in self.messages if "message" in message]

    @property
    def gpu_id(self) -> int:
        """Return the GPU named last."""
        return [message["gpu_id"] for message in self.messages if "gpu_id" in message][-1]

    def of(self, kind: str | None) -> list[dict]:
        """Return the messages of a type; None for full mode's states."""
        return [message for message in self.messages if message.get("type") == kind]

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Return the errors as (code, sentence)."""
        return [(message["code"], message["error"]) for message in self.messages if "error" in message]

    @property
    def text(self) -> str:
        """Return the committed text."""
        if self.mode == "full":
            states = self.of(None)
            return " ".join(line["text"] for line in states[-1]["lines"] if line["speaker"] != -2) if states else ""
        finals = {message["segment"]: message["text"] for message in self.of("final")}
        partials = [message for message in self.of("partial") if message["segment"] not in finals]
        return " ".join([*finals.values(), *(message["committed"] for message in partials[-1:])]).strip()

    @property
    def shown(self) -> str:
        """Return the text as a person sees it, with the tail."""
        last = (self.of(None) if self.mode == "full" else self.of("partial"))[-1:]
        key = "buffer_transcription" if self.mode == "full" else "tail"
        closed = self.mode == "events" and last and last[0]["segment"] in {m["segment"] for m in self.of("final")}
        return " ".join([self.text, *("" if closed else message[key] for message in last)]).strip()

    def check(self) -> None:
        """Assert what holds in every conversation."""
        assert [message["type"] for message in self.messages if message.get("type") == "config"] == ["config"]
        assert self.messages[0]["type"] == "config"
        if self.of("ready_to_stop"):
            assert self.messages[-1]["type"] == "ready_to_stop"
            expected = [sentence.format(self.first_gpu_id) for sentence in STATUSES]
            assert self.statuses[: len(expected)] == expected
        if self.mode == "events":
            self._check_events()
        else:
            self._check_states()

    @property
    def first_gpu_id(self) -> int:
        """Return the GPU named first."""
        return next(message["gpu_id"] for message in self.messages if "gpu_id" in message)

    def _check_events(self) -> None:
        assert [message["seq"] for message in self.messages] == list(range(1, len(self.messages) + 1))
        finals = [message["segment"] for message in self.of("final")]
        assert finals == sorted(set(finals))
        committed: dict[int, str] = {}
        closed: set[int] = set()
        for message in self.messages:
            if message["type"] == "partial":
                assert message["segment"] not in closed
                assert message["committed"].startswith(committed.get(message["segment"], ""))
                committed[message["segment"]] = message["committed"]
            elif message["type"] == "final":
                assert message["text"].startswith(committed.get(message["segment"], ""))
                assert " ".join(word["word"].strip() for word in message["words"]) == message["text"]
                closed.add(message["segment"])
        acks = self.of("ack")
        for before, after in itertools.pairwise(acks):
            assert (after["received"], after["committed_until"]) >= (before["received"], before["committed_until"])

    def _check_states(self) -> None:
        for before, after in itertools.pairwise(self.of(None)):
            kept = [line["text"] for line in before["lines"]]
            now = [line["text"] for line in after["lines"]]
            assert now[: len(kept) - 1] == kept[:-1]
            assert not kept or now[len(kept) - 1].startswith(kept[-1])

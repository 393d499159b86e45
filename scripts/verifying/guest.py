"""One real session: it comes, speaks shipped speech in real time, and goes (shell)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from whisper_live_client import ClientError, ConnectError, Mode, Transcript, connect
from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s, regroup

from scripts.load.material import Stream

from .evidence import Act, Visit

_MESSAGE_SAMPLES = SAMPLE_RATE // 10
_FLUSH_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """How sessions are to be had; ``patience_s`` is how long one may take to become ready."""

    url: str
    mode: Mode
    language: str | None
    token: str | None = field(repr=False)
    patience_s: float


class Guest:
    """A visitor of the server.

    Args:
        number: which one, from 1 on.
        act: the part of the story that it plays in.
        stream: what it says, over and over.

    Attributes:
        loads: whether the server had to load weights for it; None is unknown.
    """

    def __init__(self, wishes: Wishes, number: int, act: Act, stream: Stream) -> None:
        self.number = number
        self.loads: bool | None = None
        self._wishes = wishes
        self._act = act
        self._stream = stream
        self._client = connect(
            wishes.url,
            mode=wishes.mode,
            language=wishes.language,
            token=wishes.token,
            flush_timeout_s=_FLUSH_SILENCE_S,
        )
        self._news = asyncio.Event()
        self._speaking = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leaving = asyncio.Event()
        self._ended: str | None = None
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """Open the session, and return when it is ready, or has ended without, or the patience is at its end."""
        self._task = asyncio.create_task(self._live())
        self._task.add_done_callback(lambda _: self._news.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wishes.patience_s):
                while self._client.transcript.ready_s is None and not self._task.done():
                    self._news.clear()
                    await self._news.wait()

    def speak(self) -> None:
        """Begin to speak."""
        self._speaking.set()

    def stop(self) -> None:
        """End the audio; the session stays until everything is said."""
        self._stopping.set()
        self._speaking.set()

    async def gone(self) -> None:
        """Wait until the session is over."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def leave(self) -> None:
        """Close the connection at once, properly, so that the server gives the slot back at once."""
        self._leaving.set()
        await self.gone()

    def visit(self) -> Visit:
        """Return what was seen so far."""
        transcript = self._client.transcript
        books = transcript.accounting
        told = [status.gpu_id for status in transcript.statuses if status.gpu_id is not None]
        return Visit(
            number=self.number,
            act=self._act,
            session=transcript.config.session if transcript.config else None,
            gpu_id=told[0] if told else None,
            loads=self.loads,
            connected_ms=_between_ms(transcript.opened_s, transcript.connected_s),
            ready_ms=_between_ms(transcript.opened_s, transcript.ready_s),
            errors=tuple(error.error for error in transcript.errors),
            close_code=self._client.close_code,
            ended=self._ended,
            problem=self._problem,
            books=_add_up(transcript),
            audio_s=duration_s(transcript.sent_samples),
            dropped_s=duration_s(books.dropped) if books else 0.0,
            words=len(transcript.committed.split()),
        )

    async def _live(self) -> None:
        client = self._client
        try:
            async with client:
                talking = asyncio.create_task(self._talk())
                leaving = asyncio.create_task(self._leaving.wait())
                try:
                    await asyncio.wait({talking, leaving}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    left = not talking.done()
                    talking.cancel()
                    leaving.cancel()
                    outcomes = await asyncio.gather(talking, leaving, return_exceptions=True)
            failure = outcomes[0]
            if left:
                self._ended, self._problem = "left", "left before its end"
            elif isinstance(failure, ClientError):
                self._ended, self._problem = "failed", str(failure)
            elif isinstance(failure, BaseException):
                raise failure
            else:
                outcome = client.outcome
                self._ended, self._problem = outcome.exit_code.name.lower(), outcome.sentence
        except ConnectError:
            outcome = client.outcome
            self._ended, self._problem = outcome.exit_code.name.lower(), outcome.sentence

    async def _talk(self) -> None:
        async for _ in self._client.stream(self._blocks()):
            if self._client.transcript.ready_s is not None or self._client.transcript.errors:
                self._news.set()

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Yield each block when its last sample has been spoken, from the moment that speaking began."""
        await self._speaking.wait()
        began_s, samples = time.monotonic(), 0
        while True:
            for block in regroup(self._stream.pieces(), _MESSAGE_SAMPLES * BYTES_PER_SAMPLE):
                if self._stopping.is_set():
                    return
                samples += len(block) // BYTES_PER_SAMPLE
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), began_s + duration_s(samples) - time.monotonic())
                yield block


def _between_ms(start_s: float, end_s: float | None) -> float | None:
    return None if end_s is None else (end_s - start_s) * 1000


def _add_up(transcript: Transcript) -> bool | None:
    books = transcript.accounting
    if books is None:
        return None
    return books.received == transcript.sent_samples == books.transcribed + books.silence + books.dropped

"""Drive one real session: it is opened, speaks shipped speech in real time, and ends or is left."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from scripts.client.asr_client import AsrClient, CannotConnectError, ClientError, Mode
from scripts.client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s, regroup
from scripts.client.messages import ServerMessage
from scripts.client.outcome import of_http_status, of_session
from scripts.client.session import run_session
from scripts.client.transcript import Transcript
from scripts.load.material import Stream

from .evidence import Phase, SessionResult

_MESSAGE_BYTES = SAMPLE_RATE // 10 * BYTES_PER_SAMPLE
_FLUSH_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How sessions are opened; ``ready_limit_s`` is how long one may take to become ready."""

    url: str
    mode: Mode
    language: str | None
    token: str | None = field(repr=False)
    ready_limit_s: float


class Session:
    """A session with the server.

    Args:
        number: which one, from 1 on.
        phase: the part of the run that it belongs to.
        stream: what it says, over and over.

    Attributes:
        loads: whether the server had to load weights for it; None is unknown.
    """

    def __init__(self, options: SessionOptions, number: int, phase: Phase, stream: Stream) -> None:
        self.number = number
        self.loads: bool | None = None
        self._options = options
        self._phase = phase
        self._stream = stream
        self._client = AsrClient(
            options.url,
            mode=options.mode,
            language=options.language,
            token=options.token,
            flush_silence_s=_FLUSH_SILENCE_S,
        )
        self._first_message_s: float | None = None
        self._changed = asyncio.Event()
        self._speaking = asyncio.Event()
        self._finishing = asyncio.Event()
        self._left = False
        self._ended: str | None = None
        self._problem = ""
        self._talk: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the session, and return when it is ready, or has ended without, or has taken too long."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._changed.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.ready_limit_s):
                while self._client.transcript.ready_s is None and not self._task.done():
                    self._changed.clear()
                    await self._changed.wait()

    def speak(self) -> None:
        """Begin to speak."""
        self._speaking.set()

    def finish(self) -> None:
        """End the audio; the session stays until everything is said."""
        self._finishing.set()
        self._speaking.set()

    async def wait_ended(self) -> None:
        """Wait until the session is over."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def leave(self) -> None:
        """Close the connection at once, with its handshake, so that the server gives the slot back at once."""
        self._left = True
        if self._talk is not None:
            self._talk.cancel()
        await self.wait_ended()

    def result(self) -> SessionResult:
        """Return what was seen so far."""
        transcript = self._client.transcript
        accounting = transcript.accounting
        told = [status.gpu_id for status in transcript.statuses if status.gpu_id is not None]
        return SessionResult(
            number=self.number,
            phase=self._phase,
            session=transcript.config.session if transcript.config else None,
            gpu_id=told[0] if told else None,
            loads=self.loads,
            connected_ms=_between_ms(transcript.opened_s, self._first_message_s),
            ready_ms=_between_ms(transcript.opened_s, transcript.ready_s),
            errors=tuple(error.error for error in transcript.errors),
            close_code=self._client.close_code,
            ended=self._ended,
            problem=self._problem,
            accounted=_accounted(transcript),
            audio_s=duration_s(transcript.sent_samples),
            dropped_s=duration_s(accounting.dropped) if accounting else 0.0,
            words=len(transcript.committed.split()),
        )

    async def _run(self) -> None:
        failure = None
        try:
            async with self._client as client:
                self._talk = asyncio.create_task(
                    run_session(client, self._blocks(), paced=False, on_message=self._on_message)
                )
                if self._left:
                    self._talk.cancel()
                await asyncio.wait({self._talk})
                failure = asyncio.CancelledError() if self._talk.cancelled() else self._talk.exception()
        except CannotConnectError as error:
            outcome = of_http_status(error.status, str(error))
            self._ended, self._problem = outcome.exit_code.name.lower(), outcome.sentence
            return
        if isinstance(failure, asyncio.CancelledError):
            self._ended, self._problem = "left", "left before its end"
        elif isinstance(failure, ClientError):
            self._ended, self._problem = "failed", str(failure)
        elif failure is not None:
            raise failure
        else:
            outcome = of_session(client.transcript, client.close_code, client.problem)
            self._ended, self._problem = outcome.exit_code.name.lower(), outcome.sentence

    def _on_message(self, _message: ServerMessage) -> None:
        if self._first_message_s is None:
            self._first_message_s = time.monotonic()
        self._changed.set()

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Yield each block when its last sample has been spoken, from the moment that speaking began."""
        await self._speaking.wait()
        began_s, samples = time.monotonic(), 0
        while True:
            for block in regroup(self._stream.pieces(), _MESSAGE_BYTES):
                if self._finishing.is_set():
                    return
                samples += len(block) // BYTES_PER_SAMPLE
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._finishing.wait(), began_s + duration_s(samples) - time.monotonic())
                yield block


def _between_ms(start_s: float, end_s: float | None) -> float | None:
    return None if end_s is None else (end_s - start_s) * 1000


def _accounted(transcript: Transcript) -> bool | None:
    told = transcript.accounting
    if told is None:
        return None
    return told.received == transcript.sent_samples == told.transcribed + told.silence + told.dropped

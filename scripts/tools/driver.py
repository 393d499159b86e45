"""One session with a running server: speech in real time, until everything is said (shell)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import chain, count

from whisper_live_client import ClientError, ConnectError, Mode, Transcript, connect
from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, regroup
from whisper_live_client.events import Partial, ReadyToStop, Update
from whisper_live_client.outcome import Exit, Outcome

from .corpus import Stream
from .word_timing import ChangeCounter

LEFT = "left before its end"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How sessions are opened and fed.

    ``flush_timeout_s`` is how long the server may say nothing after the audio's end, ``reconnect_s`` for how long a
    connection that broke is tried again.
    """

    url: str
    mode: Mode = "events"
    language: str | None = None
    token: str | None = field(default=None, repr=False)
    message_ms: int = 100
    flush_timeout_s: float | None = None
    reconnect_s: float = 0.0

    @property
    def message_samples(self) -> int:
        return SAMPLE_RATE * self.message_ms // 1000


@dataclass(frozen=True, slots=True)
class SessionResult:
    stream: Stream
    transcript: Transcript
    outcome: Outcome
    changed_words: int


class SessionDriver:
    """Drives one session: `run` is the session, the other methods steer it from other tasks.

    An ``endless`` one says its stream over and over until `stop`, a ``silent`` one says nothing before `speak`.
    """

    def __init__(
        self, settings: SessionSettings, stream: Stream, *, endless: bool = False, silent: bool = False
    ) -> None:
        self.outcome: Outcome | None = None
        self.left = False
        self._stream = stream
        self._endless = endless
        self._message_bytes = settings.message_samples * BYTES_PER_SAMPLE
        self._session = connect(
            settings.url,
            mode=settings.mode,
            language=settings.language,
            token=settings.token,
            flush_timeout_s=settings.flush_timeout_s,
            reconnect_s=settings.reconnect_s,
        )
        self._changes = ChangeCounter()
        self._speaking = asyncio.Event()
        self._decided = asyncio.Event()
        self._conversation: asyncio.Task[None] | None = None
        if not silent:
            self._speaking.set()

    @property
    def transcript(self) -> Transcript:
        return self._session.transcript

    @property
    def close_code(self) -> int | None:
        """How the connection was closed; None while it is open."""
        return self._session.close_code

    async def run(self, limit_s: float | None = None) -> SessionResult:
        """Open the session, say the stream and wait for the last words; a limit or a cancellation ends it at once."""
        outcome = await self._run(limit_s)
        unsaid = not self._endless and self.transcript.sent_samples < self._stream.samples
        if outcome.exit_code is Exit.COMPLETE and unsaid:
            outcome = Outcome(Exit.INTERRUPTED, "interrupted, with its last words")
        self.outcome = outcome
        self._decided.set()
        return SessionResult(self._stream, self.transcript, outcome, self._changes.changed)

    async def ready(self, limit_s: float) -> None:
        """Wait until the session is ready to transcribe, or has ended without, but no longer than the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._decided.wait()

    def speak(self) -> None:
        self._speaking.set()

    def stop(self) -> None:
        """End the audio; the session stays until everything is said."""
        self._session.stop_streaming()
        self._speaking.set()

    def leave(self) -> None:
        """Close the connection properly before everything is said, so that the server frees the slot at once."""
        self.left = True
        if self._conversation is not None:
            self._conversation.cancel()

    async def _run(self, limit_s: float | None) -> Outcome:
        try:
            async with asyncio.timeout(limit_s), self._session:
                await self._converse()
        except ConnectError:
            return self._session.outcome
        except ClientError as error:
            return Outcome(Exit.FAILED, str(error))
        except TimeoutError:
            return Outcome(Exit.FAILED, f"not at its end after {limit_s:.0f} s")
        except asyncio.CancelledError:
            # What was heard until an interrupt is still worth its figures.
            return Outcome(Exit.INTERRUPTED, "interrupted")
        return Outcome(Exit.INTERRUPTED, LEFT) if self.left else self._session.outcome

    async def _converse(self) -> None:
        """Speak and listen to the end, in a task of its own that `leave` can cancel without breaking the connection."""
        self._conversation = asyncio.create_task(self._stream_all())
        if self.left:
            self._conversation.cancel()
        try:
            await self._conversation
        except asyncio.CancelledError:
            if not self.left:
                raise

    async def _stream_all(self) -> None:
        async for event in self._session.stream(self._blocks(), realtime=True):
            if self.transcript.ready_s is not None:
                self._decided.set()
            # Not at a final: the words that it hands over to the next segment stand there again with the next partial.
            if isinstance(event, (Partial, Update, ReadyToStop)):
                self._changes.observe(self.transcript)

    async def _blocks(self) -> AsyncIterator[bytes]:
        await self._speaking.wait()
        turns = count() if self._endless else range(1)
        pieces = chain.from_iterable(self._stream.pieces() for _ in turns)
        for block in regroup(pieces, self._message_bytes):
            yield block

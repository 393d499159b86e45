"""Have all sessions of one load at the same time (shell)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from whisper_live_client import ConnectError, Mode, connect
from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, regroup
from whisper_live_client.events import Partial, ReadyToStop, Update
from whisper_live_client.outcome import Exit, Outcome

from .changes import Changes
from .material import Stream
from .session import Conversation


@dataclass(frozen=True, slots=True)
class Wishes:
    """How sessions are to be had.

    Attributes:
        ramp_s: over how long their starts are spread.
        message_ms: how much audio a message carries.
        patience_s: how much longer than its audio a session may take.
    """

    url: str
    mode: Mode
    language: str | None
    token: str | None = field(repr=False)
    ramp_s: float
    message_ms: int
    patience_s: float

    @property
    def message_samples(self) -> int:
        """The samples of one message."""
        return SAMPLE_RATE * self.message_ms // 1000


class Interrupts:
    """Ctrl-C: the first ends the audio of all sessions and waits for their last words, the second ends everything."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.sessions: list[asyncio.Task[Conversation | None]] = []

    def interrupt(self) -> None:
        """Take in one more Ctrl-C."""
        if self.stopping.is_set():
            for session in self.sessions:
                session.cancel()
        self.stopping.set()


async def drive(wishes: Wishes, streams: Sequence[Stream], interrupts: Interrupts) -> list[Conversation]:
    """Have one session for each stream; those that an interrupt kept from beginning are left out."""
    async with asyncio.TaskGroup() as group:
        interrupts.sessions = [
            group.create_task(_after(wishes.ramp_s * number / len(streams), wishes, number, stream, interrupts))
            for number, stream in enumerate(streams)
        ]
    ended = [session.result() for session in interrupts.sessions if not session.cancelled()]
    return [conversation for conversation in ended if conversation is not None]


async def _after(
    delay_s: float, wishes: Wishes, number: int, stream: Stream, interrupts: Interrupts
) -> Conversation | None:
    """Begin a session in its turn, or not at all if everything is to stop by then."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(interrupts.stopping.wait(), delay_s)
    return None if interrupts.stopping.is_set() else await _converse(wishes, number, stream, interrupts.stopping)


async def _converse(wishes: Wishes, number: int, stream: Stream, stopping: asyncio.Event) -> Conversation:
    client = connect(wishes.url, mode=wishes.mode, language=wishes.language, token=wishes.token)
    changes = Changes()

    limit_s = stream.duration_s + wishes.patience_s
    try:
        async with asyncio.timeout(limit_s), client:
            async for event in client.stream(_blocks(stream, wishes, stopping), realtime=True):
                # Not at a final: the words that it hands over to the next segment stand there again with the next
                # partial.
                if isinstance(event, (Partial, Update, ReadyToStop)):
                    changes.observe(client.transcript)
        outcome = client.outcome
    except ConnectError:
        outcome = client.outcome
    except TimeoutError:
        outcome = Outcome(Exit.FAILED, f"not at its end after {limit_s:.0f} s")
    except asyncio.CancelledError:
        # Only an interrupt cancels a session, and what was heard until then is still worth its figures.
        outcome = Outcome(Exit.INTERRUPTED, "interrupted")
    if outcome.exit_code is Exit.COMPLETE and client.transcript.sent_samples < stream.samples:
        outcome = Outcome(Exit.INTERRUPTED, "interrupted, with its last words")
    return Conversation(number, stream, client.transcript, outcome, changes.changed)


async def _blocks(stream: Stream, wishes: Wishes, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    for block in regroup(stream.pieces(), wishes.message_samples * BYTES_PER_SAMPLE):
        if stopping.is_set():
            return
        yield block

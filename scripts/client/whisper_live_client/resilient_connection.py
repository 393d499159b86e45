"""A session's connection, and the next one when it breaks: its audio and its time line go on."""

import asyncio
import random
import time
from dataclasses import replace
from typing import TypedDict

from websockets.asyncio.client import ClientConnection

from .audio import SAMPLE_RATE
from .audio_sender import AudioSender
from .connection import ClientError, ConnectError, Connector
from .events import Ack, Config, Final, FinalWord, Line, Partial, ServerEvent, Status, Update
from .retry import Disconnect, RetryPolicy
from .transcript import Transcript

LOST = "connection lost, reconnecting…"
RESUMED = "resumed"
RESTARTED = "resumed in a new session: the server no longer had the old one"

_SHORTEST_TRY_S = 1.0


class ResilientConnection:
    """Holds one connection after the other, and makes them one session.

    Attributes:
        socket: the present connection, or the last one.
        retry: decides about every connection after the first.
        reconnecting: whether the session waits for a connection on which it goes on.
        problem: why there is no connection any more, where the connection itself does not say so.
    """

    def __init__(self, connector: Connector, retry: RetryPolicy, sender: AudioSender) -> None:
        self.retry = retry
        self.socket: ClientConnection | None = None
        self.reconnecting = False
        self.problem: str | None = None
        self._connector = connector
        self._sender = sender
        # Where the present session begins: its first sample, and what its segment 0 is called.
        self._first_sample = 0
        self._first_segment = 0

    async def open(self) -> None:
        """Open the first connection.

        Raises:
            ConnectError: it could not be opened; the message says why.
        """
        self.socket = await self._connector.open({})
        self._sender.attach(self.socket, 0)

    def on_disconnect(self, transcript: Transcript) -> Status | None:
        """Return what there is to say about a connection that has ended: that another may take its place."""
        if self.reconnecting or not self.retry.limit_s or not self._disconnect(transcript).retryable:
            return None
        self.reconnecting = True
        transcript.disconnected()
        return _own_status(LOST, transcript)

    async def reconnect(self, transcript: Transcript) -> bool:
        """Put another connection in the place of the lost one; return whether there is one."""
        config = transcript.config
        query = {"resume": config.resume_token} if config and config.resume_token else {}
        if query and transcript.last_seq:
            query["last_seq"] = str(transcript.last_seq)
        disconnect = self._disconnect(transcript)
        # Jitter spreads clients; it is no secret.
        while (delay_s := self.retry.delay_s(disconnect, time.monotonic(), random.random())) is not None:  # noqa: S311
            await asyncio.sleep(delay_s)
            transcript.errors.clear()
            left_s = max(_SHORTEST_TRY_S, self.retry.remaining_s(time.monotonic()))
            try:
                self.socket = await self._connector.open(query, min(self._connector.timeout_s, left_s))
            except ConnectError as error:
                disconnect = Disconnect(http_status=error.status)
                lost = f"the connection was lost and not restored within {self.retry.limit_s:g} s"
                self.problem = f"{lost}: {error}"
            else:
                self.problem = None
                return True
        return False

    def resume(self, event: ServerEvent, transcript: Transcript) -> Status | None:
        """Go on from where the server is, if this event says where; return what there is to say.

        Raises:
            ClientError: the audio that it asks for is not kept.
        """
        if not self.reconnecting or not isinstance(event, Config) or self.socket is None:
            return None
        if event.resumed:
            sample = self._first_sample + event.received
            transcript.resumed()
        else:
            buffer = self._sender.buffer
            sample = min(max(transcript.settled_samples, buffer.first_sample), buffer.end_samples)
            unsettled = transcript.unsettled_from
            lost = 0 if unsettled is None else max(0, sample - unsettled)
            transcript.restarted(sample, lost, time.monotonic())
            self._first_sample, self._first_segment = sample, transcript.next_segment
        try:
            self._sender.attach(self.socket, sample)
        except LookupError as error:
            raise ClientError(f"the session cannot go on: {error}") from error
        self.reconnecting = False
        return _own_status(RESUMED if event.resumed else RESTARTED, transcript)

    def shift(self, event: ServerEvent) -> ServerEvent:
        """Put an event on the time line of the whole session."""
        return shift(event, self._first_sample, self._first_segment)

    def _disconnect(self, transcript: Transcript) -> Disconnect:
        errors = transcript.errors
        return Disconnect(
            close_code=self.socket.close_code if self.socket else None,
            retry_after_s=errors[-1].retry_after_s if errors else None,
            was_ready=transcript.ready_s is not None,
        )


def _own_status(sentence: str, transcript: Transcript) -> Status:
    """Say something as the client itself; it stands among the server's statuses."""
    status = Status(None, sentence, arrived_s=time.monotonic())
    transcript.add_status(status)
    return status


class _Span(TypedDict):
    start_s: float
    end_s: float


def shift(event: ServerEvent, first_sample: int, first_segment: int) -> ServerEvent:
    """Move an event of a session that began later onto the time line of the first one.

    A server that has lost a session gives a fresh one, which counts samples and segments from its own beginning.
    """

    def span(spoken: Partial | Final | FinalWord | Line) -> _Span:
        # To the millisecond, as the server rounds.
        shift_s = first_sample / SAMPLE_RATE
        return {"start_s": round(spoken.start_s + shift_s, 3), "end_s": round(spoken.end_s + shift_s, 3)}

    match event:
        case Config(resumed=True):
            return replace(event, received=first_sample + event.received)
        case Ack(_, received, committed_until):
            return replace(event, received=first_sample + received, committed_until=first_sample + committed_until)
        case Partial(_, segment):
            return replace(event, segment=first_segment + segment, **span(event))
        case Final(_, segment):
            words = tuple(replace(word, **span(word)) for word in event.words)
            return replace(event, segment=first_segment + segment, words=words, **span(event))
        case Update(lines=lines) if first_sample:
            return replace(event, lines=tuple(replace(line, **span(line)) for line in lines))
        case _:
            return event

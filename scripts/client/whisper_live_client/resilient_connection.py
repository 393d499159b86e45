"""A session's connection, and the next one when it breaks: its audio and its time line go on."""

import time
from dataclasses import replace
from typing import TypedDict

from websockets.asyncio.client import ClientConnection

from .audio import SAMPLE_RATE
from .audio_sender import AudioSender
from .connection import ConnectError, Connector
from .events import Ack, Config, Final, FinalWord, Line, Partial, ServerEvent, Status, Update
from .retry import Disconnect
from .transcript import Transcript

LOST = "connection lost, reconnecting…"
RESUMED = "resumed"
RESTARTED = "resumed in a new session: the server no longer had the old one"


class ResilientConnection:
    """Holds one connection after the other, and makes them one session.

    Attributes:
        socket: the present connection, or the last one.
        reconnecting: whether the session waits for a connection on which it goes on.
        problem: why there is no connection any more, where the connection itself does not say so.
    """

    def __init__(self, connector: Connector, sender: AudioSender) -> None:
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
        if self.reconnecting or not self._connector.retry.limit_s or not self._disconnect(transcript).retryable:
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
        try:
            connection = await self._connector.open_again(self._disconnect(transcript), query)
        except ConnectError as error:
            transcript.errors.clear()
            self.problem = str(error)
            return False
        if connection is None:
            return False
        transcript.errors.clear()
        self.socket = connection
        return True

    def resume(self, config: Config, transcript: Transcript) -> Status:
        """Go on from where the server is; return what there is to say.

        Raises:
            LookupError: the audio that it asks for is not kept.
        """
        assert self.socket is not None
        if config.resumed:
            sample = self._first_sample + config.received
            transcript.resumed(sample)
        else:
            buffer = self._sender.buffer
            sample = min(max(transcript.settled_samples, buffer.first_sample), buffer.end_samples)
            unsettled = transcript.unsettled_from
            lost = 0 if unsettled is None else max(0, sample - unsettled)
            transcript.restarted(sample, lost, time.monotonic())
            self._first_sample, self._first_segment = sample, transcript.next_segment
        self._sender.attach(self.socket, sample)
        self.reconnecting = False
        return _own_status(RESUMED if config.resumed else RESTARTED, transcript)

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

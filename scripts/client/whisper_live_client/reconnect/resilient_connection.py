"""A session's connection, and the next one when it breaks: its audio and its time line go on."""

import asyncio
import random
import time
from dataclasses import replace
from typing import TypeVar

from websockets.asyncio.client import ClientConnection

from whisper_live_client.audio import SAMPLE_RATE
from whisper_live_client.connection import ClientError, ConnectError, Connector
from whisper_live_client.events import Ack, Config, Final, FinalWord, Line, Partial, ServerEvent, Status, Update
from whisper_live_client.transcript import Transcript

from .audio_sender import AudioSender
from .retry import Disconnect, RetryPolicy

LOST = "connection lost, reconnecting…"
RESUMED = "resumed"
RESTARTED = "resumed in a new session: the server no longer had the old one"

_SHORTEST_TRY_S = 1.0
_Spoken = TypeVar("_Spoken", Partial, Final, FinalWord, Line)


class ResilientConnection:
    """Holds one connection after the other, and makes them one session."""

    def __init__(
        self,
        connector: Connector,
        retry: RetryPolicy,
        sender: AudioSender,
        transcript: Transcript,
        flush_timeout_s: float | None,
    ) -> None:
        self.retry = retry
        self.socket: ClientConnection | None = None  # the present one, or the last
        self.reconnecting = False
        self.problem: str | None = None  # why there is none any more, where the connection itself does not say so
        self._connector = connector
        self._sender = sender
        self._transcript = transcript
        self._flush_timeout_s = flush_timeout_s
        # Where the present session begins: its first sample, and what its segment 0 is called.
        self._first_sample = 0
        self._first_segment = 0

    async def open(self) -> None:
        self._transcript.opened_s = time.monotonic()
        self.socket = await self._connector.open({})
        self._sender.attach(self.socket, 0)

    def check_open(self) -> ClientConnection:
        if self.socket is None:
            raise RuntimeError("not open: use `async with`")
        return self.socket

    async def receive(self) -> str:
        """Receive one text frame, with a limit on a connection's first one and on the flush."""
        socket = self.check_open()
        while True:
            waited_from = time.monotonic()
            reconnecting = self.reconnecting
            # The end marker may be sent while this waits, so the wait is cut and looked at again.
            try:
                async with asyncio.timeout(self._connector.timeout_s if reconnecting else self._flush_timeout_s):
                    frame = await socket.recv()
            except TimeoutError as error:
                if reconnecting:
                    socket.transport.abort()
                    continue
                ended_s = self._transcript.ended_s
                if ended_s is not None and ended_s <= waited_from:
                    silence = f"the server said nothing for {self._flush_timeout_s:g} s after the audio's end"
                    raise ClientError(silence) from error
                continue
            return frame if isinstance(frame, str) else frame.decode(errors="replace")

    def on_disconnect(self) -> Status | None:
        """Return what there is to say about a connection that has ended: that another may take its place."""
        if self.reconnecting or not self.retry.limit_s or not self._disconnect().retryable:
            return None
        self.reconnecting = True
        self._transcript.disconnected()
        return self._own_status(LOST)

    async def reconnect(self) -> bool:
        config = self._transcript.config
        query = {"resume": config.resume_token} if config and config.resume_token else {}
        if query and self._transcript.last_seq:
            query["last_seq"] = str(self._transcript.last_seq)
        disconnect = self._disconnect()
        # Jitter spreads clients; it is no secret.
        while (delay_s := self.retry.delay_s(disconnect, time.monotonic(), random.random())) is not None:  # noqa: S311
            await asyncio.sleep(delay_s)
            self._transcript.errors.clear()
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

    def resume(self, event: ServerEvent) -> Status | None:
        """Go on from where the server is, if this event says where; return what there is to say."""
        if not self.reconnecting or not isinstance(event, Config) or self.socket is None:
            return None
        if event.resumed:
            sample = self._first_sample + event.received
            self._transcript.resumed()
        else:
            buffer = self._sender.buffer
            sample = min(max(self._transcript.settled_samples, buffer.first_sample), buffer.end_samples)
            unsettled = self._transcript.unsettled_from
            lost = 0 if unsettled is None else max(0, sample - unsettled)
            self._transcript.restarted(sample, lost, time.monotonic())
            self._first_sample, self._first_segment = sample, self._transcript.next_segment
        try:
            self._sender.attach(self.socket, sample)
        except LookupError as error:
            raise ClientError(f"the session cannot go on: {error}") from error
        self.reconnecting = False
        return self._own_status(RESUMED if event.resumed else RESTARTED)

    def shift(self, event: ServerEvent) -> ServerEvent:
        return shift(event, self._first_sample, self._first_segment)

    def _disconnect(self) -> Disconnect:
        errors = self._transcript.errors
        return Disconnect(
            close_code=self.socket.close_code if self.socket else None,
            retry_after_s=errors[-1].retry_after_s if errors else None,
            was_ready=self._transcript.ready_s is not None,
        )

    def _own_status(self, sentence: str) -> Status:
        """Say something as the client itself; it stands among the server's statuses."""
        status = Status(None, sentence, arrived_s=time.monotonic())
        self._transcript.statuses.append(status)
        return status


def shift(event: ServerEvent, first_sample: int, first_segment: int) -> ServerEvent:
    """Move an event of a session that began later onto the time line of the first one.

    A server that has lost a session gives a fresh one, which counts samples and segments from its own beginning.
    """

    def later(spoken: _Spoken) -> _Spoken:
        # To the millisecond, as the server rounds.
        start_s, end_s = (round(each + first_sample / SAMPLE_RATE, 3) for each in (spoken.start_s, spoken.end_s))
        return replace(spoken, start_s=start_s, end_s=end_s)

    match event:
        case Config(resumed=True):
            return replace(event, received=first_sample + event.received)
        case Ack(_, received, committed_until):
            return replace(event, received=first_sample + received, committed_until=first_sample + committed_until)
        case Partial(_, segment):
            return replace(later(event), segment=first_segment + segment)
        case Final(_, segment):
            return replace(later(event), segment=first_segment + segment, words=tuple(map(later, event.words)))
        case Update(lines=lines) if first_sample:
            return replace(event, lines=tuple(map(later, lines)))
        case _:
            return event

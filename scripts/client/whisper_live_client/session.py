"""One session on `/asr`: audio goes in, events come out."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Literal, Self, TypeAlias

from websockets.exceptions import ConnectionClosed

from .audio import BYTES_PER_SAMPLE, MESSAGE_BYTES, duration_s, regroup
from .connection import ClientError, ConnectError, Connector, SessionClosedError, session_url
from .decode import ProtocolError, decode
from .events import Ack, Config, Final, Partial, ReadyToStop, ServerEvent, Update
from .outcome import Outcome, of_http_status, of_session
from .reconnect.audio_sender import AudioSender
from .reconnect.replay_buffer import ReplayBuffer
from .reconnect.resilient_connection import ResilientConnection
from .reconnect.retry import RetryPolicy
from .transcript import Transcript

Mode: TypeAlias = Literal["events", "full"]
Audio: TypeAlias = bytes | Iterable[bytes] | AsyncIterable[bytes]


def connect(
    url: str,
    *,
    mode: Mode = "events",
    language: str | None = None,
    task: str | None = None,
    token: str | None = None,
    query: Mapping[str, str] | None = None,
    connect_timeout_s: float = 10.0,
    flush_timeout_s: float | None = None,
    reconnect_s: float = 0.0,
) -> "Session":
    """Prepare a session; ``async with`` opens it.

    Args:
        url: ``ws(s)://host/asr``, or the server's ``http(s)://`` address.
        mode: the wire format asked for.
        language: a Whisper language code; the server's default where None.
        task: ``transcribe`` or ``translate``; the server's default where None.
        token: sent as ``Authorization: Bearer``, never in the URL.
        query: further query parameters.
        connect_timeout_s: how long opening may take.
        flush_timeout_s: give up when the server says nothing this long after the audio's end; None waits on.
        reconnect_s: for how long a connection that broke is tried again; 0 for not at all.

    Raises:
        ValueError: the URL is none of a server, or carries a token.
    """
    parameters = {"mode": mode, "language": language, "task": task, **(query or {})}
    connector = Connector(
        session_url(url, {key: value for key, value in parameters.items() if value is not None}),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout_s=connect_timeout_s,
        notice_silence=reconnect_s > 0,
    )
    return Session(connector, mode, flush_timeout_s, reconnect_s)


class Session:
    """A session, made by `connect`: `stream` audio and take events, or `send`, `finish` and iterate over it.

    Sending waits while the server does not read, and the server waits while its events are not taken: nothing is
    buffered without a limit on either side.

    With ``reconnect_s`` a session outlives its connection: the iteration yields two statuses more, everything is on
    one time line, and `send` takes audio all the while, up to a minute.

    Attributes:
        transcript: everything said so far; its times are ``time.monotonic()``.
        problem: why the client itself gave up (a broken message, silence), if it did.
    """

    def __init__(self, connector: Connector, mode: Mode, flush_timeout_s: float | None, reconnect_s: float) -> None:
        self.transcript = Transcript(time.monotonic())
        self.problem: str | None = None
        self._mode = mode
        self._sender = AudioSender(reconnects=reconnect_s > 0, on_end=self._on_end_sent)
        self._connection = ResilientConnection(
            connector, RetryPolicy(reconnect_s), self._sender, self.transcript, flush_timeout_s
        )
        self._refusal: ConnectError | None = None
        self._streaming: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self._connection.open()
        except ConnectError as error:
            self._refusal = error
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the WebSocket; at once, without the closing handshake, when an exception passes through."""
        self._sender.close()
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
        if self._connection.socket is None:
            return
        if kind is not None:
            self._connection.socket.transport.abort()
        else:
            await self._connection.socket.close()

    @property
    def replay_buffer(self) -> ReplayBuffer:
        return self._sender.buffer

    @property
    def close_code(self) -> int | None:
        """The WebSocket close code: 1006 where the connection just broke, None while it is open."""
        return self._connection.socket.close_code if self._connection.socket else None

    @property
    def outcome(self) -> Outcome:
        """How the session ended, once it has: an exit code, and a sentence unless all is well."""
        if self._refusal is not None:
            return of_http_status(self._refusal.status, str(self._refusal))
        return of_session(self.transcript, self.close_code, self.problem)

    async def stream(self, audio: Audio, *, realtime: bool = False) -> AsyncIterator[ServerEvent]:
        """Send audio and the end marker in the background, and yield what the server says until its end.

        Args:
            audio: s16le, 16 kHz, mono: all of it, or in pieces (those of an async iterable are sent as they are,
                others as messages of 100 ms; one that blocks needs a `BlockingSource`). What its iteration raises is
                raised here, after the server's last words on what was sent.
            realtime: send each message when its last sample would have been spoken, from the moment that the first
                one came; otherwise as fast as the server reads.
        """
        self._streaming = asyncio.create_task(self._send_all(_messages_of(audio), realtime=realtime))
        async for event in self:
            yield event
        self._streaming.cancel()
        (failure,) = await asyncio.gather(self._streaming, return_exceptions=True)
        if failure is not None and not isinstance(failure, (asyncio.CancelledError, SessionClosedError)):
            raise failure

    def stop_streaming(self) -> None:
        """End the audio of `stream` at its next piece; the server still says what is left."""
        self._stopping.set()

    async def send(self, pcm: bytes) -> None:
        """Send s16le audio at 16 kHz, mono; waits while the server does not read.

        An odd length is sent as it is: its last byte becomes a sample with the next message.

        Raises:
            ValueError: there are no bytes (an empty frame would end the audio).
            SessionClosedError: the connection is closed for good.
        """
        if not pcm:
            raise ValueError("an empty message would end the audio: call finish()")
        self._connection.check_open()
        await self._sender.send(pcm)
        self.transcript.sent(self.replay_buffer.end_samples - self.transcript.sent_samples, time.monotonic())

    async def finish(self) -> None:
        """End the audio; the server says what is left, then the iteration ends. Twice is once."""
        self._connection.check_open()
        await self._sender.finish()

    async def finalize(self) -> None:
        """Ask for everything said so far to be committed now, and go on (``mode="events"``)."""
        await self._send_text('{"type":"finalize"}')

    async def keepalive(self) -> None:
        """Tell the server that this silent session is meant to stay (``mode="events"``)."""
        await self._send_text('{"type":"keepalive"}')

    async def _send_text(self, text: str) -> None:
        try:
            await self._connection.check_open().send(text)
        except ConnectionClosed as error:
            raise SessionClosedError(f"the connection is closed ({self.close_code})") from error

    async def _send_all(self, messages: AsyncIterable[bytes], *, realtime: bool) -> None:
        started_s, samples = 0.0, 0
        try:
            async for message in messages:
                started_s = started_s or time.monotonic()
                samples += len(message) // BYTES_PER_SAMPLE
                ahead_s = started_s + duration_s(samples) - time.monotonic()
                if realtime and ahead_s > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ahead_s):
                            await self._stopping.wait()
                if self._stopping.is_set():
                    break
                await self.send(message)
        except Exception:
            # What was sent before the source failed is still worth its words.
            with suppress(SessionClosedError):
                await self.finish()
            raise
        await self.finish()

    def _on_end_sent(self) -> None:
        if self.transcript.ended_s is None:
            self.transcript.ended_s = time.monotonic()

    async def __aiter__(self) -> AsyncIterator[ServerEvent]:
        """Yield what the server says, each event folded into `transcript` already.

        Ends after ``ReadyToStop``, or when the connection is closed for good (see `outcome`).
        """
        connection = self._connection
        while True:
            try:
                event = decode(await connection.receive(), time.monotonic())
                resumed = connection.resume(event)
            except ConnectionClosed:
                if lost := connection.on_disconnect():
                    yield lost
                if await connection.reconnect():
                    continue
                self.problem = connection.problem
                break
            except ProtocolError as error:
                self.problem = f"the server sent what is no message of /asr: {error}"
                break
            except ClientError as error:
                self.problem = str(error)
                break
            event = connection.shift(event)
            self.transcript.fold(event)
            self._note(event)
            yield event
            if resumed:
                yield resumed
            if isinstance(event, ReadyToStop):
                return
        self._sender.close()

    def _note(self, event: ServerEvent) -> None:
        """Note what an event means for the audio that is kept, and for the next loss."""
        resumable = isinstance(event, Config) and bool(event.resume_token)
        self._sender.on_first_event(acknowledged=resumable and self._mode == "events")
        if isinstance(event, Ack):
            self._sender.on_ack(event.received)
        self._sender.on_settled(self.transcript.settled_samples)
        state = isinstance(event, Update) and not event.message and not event.error
        if state or isinstance(event, (Ack, Partial, Final)):
            self._connection.retry.reset()


async def _messages_of(audio: Audio) -> AsyncIterator[bytes]:
    if isinstance(audio, AsyncIterable):
        async for piece in audio:
            yield piece
        return
    for message in regroup([audio] if isinstance(audio, bytes) else audio, MESSAGE_BYTES):
        yield message

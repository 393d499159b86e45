"""One session on `/asr` over the `websockets` library (shell)."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Literal, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from .connection import CannotConnectError, ClientError, ClosedError, Connector, session_url
from .lifeline import Lifeline
from .messages import Ack, Config, Final, Partial, ReadyToStop, ServerMessage, Update
from .reading import ProtocolError, parse
from .recovery import Recovery
from .transcript import Transcript
from .unacked import Unacked
from .uplink import Uplink

__all__ = ["AsrClient", "CannotConnectError", "ClientError", "ClosedError", "Mode", "session_url"]

Mode = Literal["events", "full"]


class AsrClient:
    """A session: audio goes in by `send`, messages come out of `messages`, `transcript` adds them up.

    Sending waits while the server does not read, and the server waits while nobody iterates over `messages`:
    nothing is buffered without a bound on either side.

    With ``reconnect_s`` a session outlives its connection: whoever iterates over `messages` sees two statuses more,
    everything is on one time line, and `send` takes audio all the while, up to a minute.

    Attributes:
        transcript: everything said so far; its times are ``time.monotonic()``.
        close_code: the WebSocket close code, None while the connection is open.
        problem: why the client itself gave up (a broken message, silence), if it did.
    """

    def __init__(
        self,
        url: str,
        *,
        mode: Mode = "events",
        language: str | None = None,
        task: str | None = None,
        token: str | None = None,
        origin: str | None = None,
        query: Mapping[str, str] | None = None,
        connect_timeout_s: float = 10.0,
        flush_silence_s: float | None = None,
        reconnect_s: float = 0.0,
    ) -> None:
        """Prepare a session; nothing is opened before ``async with``.

        Args:
            url: ``ws(s)://host/asr``, or the server's ``http(s)://`` address.
            mode: the wire format asked for.
            language: a Whisper language code; the server's default where None.
            task: ``transcribe`` or ``translate``; the server's default where None.
            token: sent as ``Authorization: Bearer``, never in the URL.
            origin: the Origin header, for tests of the origin check.
            query: further query parameters.
            connect_timeout_s: how long opening may take.
            flush_silence_s: give up when the server says nothing for so long after the audio's end; None waits on.
            reconnect_s: for how long a connection that broke is tried again; 0 for not at all.

        Raises:
            ValueError: the URL is none of a server, or carries a token.
        """
        parameters = {"mode": mode, "language": language, "task": task, **(query or {})}
        self._mode = mode
        self._flush_silence_s = flush_silence_s
        self._recovery = Recovery(reconnect_s)
        self._connector = Connector(
            session_url(url, {key: value for key, value in parameters.items() if value is not None}),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            origin=origin,
            timeout_s=connect_timeout_s,
            recovery=self._recovery,
        )
        self._uplink = Uplink(lasting=reconnect_s > 0, on_end=self._audio_ended)
        self._line = Lifeline(self._connector, self._recovery, self._uplink)
        self.transcript = Transcript(time.monotonic())
        self.problem: str | None = None

    async def __aenter__(self) -> Self:
        """Open the WebSocket.

        Raises:
            CannotConnectError: it could not be opened; the message says why.
        """
        self.transcript = Transcript(time.monotonic())
        await self._line.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the WebSocket; at once, without the closing handshake, when an exception passes through."""
        self._uplink.close()
        if self._line.socket is None:
            return
        if kind is not None:
            self._line.socket.transport.abort()
        else:
            await self._line.socket.close()

    @property
    def url(self) -> str:
        """The session's address."""
        return self._connector.url

    @property
    def unacked(self) -> Unacked:
        """The audio that is not sent, or might have to be sent again."""
        return self._uplink.unacked

    @property
    def close_code(self) -> int | None:
        """The code the connection was closed with: 1006 where it just broke, None while it is open."""
        return self._line.socket.close_code if self._line.socket else None

    @property
    def close_reason(self) -> str:
        """The reason that came with the close code."""
        return (self._line.socket.close_reason if self._line.socket else None) or ""

    # --- up -------------------------------------------------------------------------------------------------

    async def send(self, pcm: bytes) -> None:
        """Send s16le audio at 16 kHz, mono; waits while the server does not read.

        An odd length is sent as it is: its last byte becomes a sample with the next message.

        Raises:
            ValueError: there are no bytes (an empty frame would end the audio).
            ClosedError: the connection is closed for good.
        """
        if not pcm:
            raise ValueError("an empty message would end the audio: call finish()")
        self._open_socket()
        await self._uplink.send(pcm)
        self.transcript.sent(self.unacked.end_samples - self.transcript.sent_samples, time.monotonic())

    async def finish(self) -> None:
        """End the audio; the server says what is left, then `messages` ends. Twice is once."""
        self._open_socket()
        await self._uplink.finish()

    async def finalize(self) -> None:
        """Ask for everything said so far to be committed now, and go on (``mode="events"``)."""
        await self.send_text('{"type":"finalize"}')

    async def keepalive(self) -> None:
        """Tell the server that this silent session is meant to stay (``mode="events"``)."""
        await self.send_text('{"type":"keepalive"}')

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is.

        Raises:
            ClosedError: the connection is closed.
        """
        try:
            await self._open_socket().send(text)
        except ConnectionClosed as error:
            raise ClosedError(f"the connection is closed ({self.close_code})") from error

    def _audio_ended(self) -> None:
        if self.transcript.ended_s is None:
            self.transcript.audio_ended(time.monotonic())

    # --- down -----------------------------------------------------------------------------------------------

    async def messages(self) -> AsyncIterator[ServerMessage]:
        """Yield what the server says, each message folded into `transcript` already.

        Ends after ``ready_to_stop``, or when the connection is closed for good (see `close_code`, `problem`).
        """
        line, transcript = self._line, self.transcript
        while True:
            try:
                message = parse(await self._receive())
                resumed = line.resume(message, transcript) if line.between and isinstance(message, Config) else None
            except ConnectionClosed:
                if lost := line.lost(transcript):
                    yield lost
                if await line.recover(transcript):
                    continue
                self.problem = line.problem
                break
            except TimeoutError:
                break
            except ProtocolError as error:
                self.problem = f"the server sent what is no message of /asr: {error}"
                break
            except LookupError as error:
                self.problem = f"the session cannot go on: {error}"
                break
            message = line.place(message)
            transcript.fold(message, time.monotonic())
            self._heed(message)
            yield message
            if resumed:
                yield resumed
            if isinstance(message, ReadyToStop):
                return
        self._uplink.close()

    def _heed(self, message: ServerMessage) -> None:
        """Note what a message means for the audio that is kept, and for the next loss."""
        resumable = isinstance(message, Config) and bool(message.resume_token)
        self._uplink.greeted(acknowledged=resumable and self._mode == "events")
        if isinstance(message, Ack):
            self._uplink.received(message.received)
        self._uplink.settled(self.transcript.settled_samples)
        state = isinstance(message, Update) and not message.message and not message.error
        if state or isinstance(message, (Ack, Partial, Final)):
            self._recovery.progressed()

    async def _receive(self) -> str:
        """Receive one text frame, watching over a connection's first one and over the flush."""
        socket = self._open_socket()
        while True:
            waited_from = time.monotonic()
            # The end marker may be sent while this waits, so the wait is cut and looked at again.
            try:
                async with asyncio.timeout(self._connector.timeout_s if self._line.between else self._flush_silence_s):
                    frame = await socket.recv()
            except TimeoutError:
                if self._line.between:
                    socket.transport.abort()
                    continue
                ended_s = self.transcript.ended_s
                if ended_s is None or ended_s > waited_from:
                    continue
                self.problem = f"the server said nothing for {self._flush_silence_s:g} s after the audio's end"
                raise
            return frame if isinstance(frame, str) else frame.decode(errors="replace")

    def _open_socket(self) -> ClientConnection:
        if self._line.socket is None:
            raise RuntimeError("not open: use `async with`")
        return self._line.socket

"""One session on `/asr` over the `websockets` library (shell)."""

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Mapping
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Origin

from .audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from .messages import Ack, ReadyToStop, ServerMessage
from .reading import ProtocolError, parse
from .transcript import Transcript
from .unacked import Unacked

Mode = Literal["events", "full"]

# Twice what a server keeps by default (its journal's 60 s), so that our own bound is never what breaks a resume.
UNACKED_BOUND_BYTES = 120 * SAMPLE_RATE * BYTES_PER_SAMPLE


class ClientError(Exception):
    """The session did not come to be, or ended before its time."""


class CannotConnectError(ClientError):
    """No WebSocket could be opened; ``status`` is the HTTP status where the server answered with one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ClosedError(ClientError):
    """Nothing can be sent any more: the connection is closed."""


class AsrClient:
    """A session: audio goes in by `send`, messages come out of `messages`, `transcript` adds them up.

    Sending waits while the server does not read, and the server waits while nobody iterates over `messages`:
    nothing is buffered without a bound on either side.

    Attributes:
        transcript: everything said so far; its times are ``time.monotonic()``.
        unacked: the sent audio that a resumed session might have to send again (``mode="events"`` only).
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

        Raises:
            ValueError: the URL is none of a server, or carries a token.
        """
        parameters = {"mode": mode, "language": language, "task": task, **(query or {})}
        self.url = session_url(url, {key: value for key, value in parameters.items() if value is not None})
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._origin = origin
        self._mode = mode
        self._connect_timeout_s = connect_timeout_s
        self._flush_silence_s = flush_silence_s
        self._socket: ClientConnection | None = None
        self._sent_bytes = 0
        self.transcript = Transcript(time.monotonic())
        self.unacked = Unacked(UNACKED_BOUND_BYTES)
        self.problem: str | None = None

    async def __aenter__(self) -> Self:
        """Open the WebSocket.

        Raises:
            CannotConnectError: it could not be opened; the message says why.
        """
        self.transcript = Transcript(time.monotonic())
        host = urlsplit(self.url).hostname or ""
        try:
            self._socket = await connect(
                self.url,
                origin=Origin(self._origin) if self._origin else None,
                additional_headers=self._headers,
                compression=None,
                proxy=None if _is_loopback(host) else True,
                open_timeout=self._connect_timeout_s,
                close_timeout=2.0,
                ping_interval=None,
                max_size=64 * 2**20,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise CannotConnectError(f"{host} answered HTTP {status}, no WebSocket", status) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            reason = str(error) or type(error).__name__
            raise CannotConnectError(f"cannot connect to {_without_query(self.url)}: {reason}") from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the WebSocket; at once, without the closing handshake, when an exception passes through."""
        if self._socket is None:
            return
        if kind is not None:
            self._socket.transport.abort()
        else:
            await self._socket.close()

    @property
    def close_code(self) -> int | None:
        """The code the connection was closed with: 1006 where it just broke, None while it is open."""
        return self._socket.close_code if self._socket else None

    @property
    def close_reason(self) -> str:
        """The reason that came with the close code."""
        return (self._socket.close_reason if self._socket else None) or ""

    async def send(self, pcm: bytes) -> None:
        """Send s16le audio at 16 kHz, mono; waits while the server does not read.

        An odd length is sent as it is: its last byte becomes a sample with the next message.

        Raises:
            ValueError: there are no bytes (an empty frame would end the audio).
            ClosedError: the connection is closed.
        """
        if not pcm:
            raise ValueError("an empty message would end the audio: call finish()")
        await self._send(pcm)
        before, self._sent_bytes = self._sent_bytes, self._sent_bytes + len(pcm)
        samples = self._sent_bytes // BYTES_PER_SAMPLE - before // BYTES_PER_SAMPLE
        self.transcript.sent(samples, time.monotonic())
        if self._mode == "events":
            self.unacked.append(pcm)

    async def finish(self) -> None:
        """End the audio; the server says what is left, then `messages` ends. Twice is once."""
        if self.transcript.ended_s is None:
            await self._send(b"")
            self.transcript.audio_ended(time.monotonic())

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
        await self._send(text)

    async def messages(self) -> AsyncIterator[ServerMessage]:
        """Yield what the server says, each message folded into `transcript` already.

        Ends after ``ready_to_stop``, or when the connection is closed for any reason (see `close_code`, `problem`).
        """
        while True:
            try:
                text = await self._receive()
            except (ConnectionClosed, TimeoutError):
                return
            now = time.monotonic()
            try:
                message = parse(text)
            except ProtocolError as error:
                self.problem = f"the server sent what is no message of /asr: {error}"
                return
            self.transcript.fold(message, now)
            if isinstance(message, Ack):
                self.unacked.acknowledge(message.committed_until)
            yield message
            if isinstance(message, ReadyToStop):
                return

    async def _receive(self) -> str:
        """Receive one text frame, watching over the flush where that was asked for."""
        socket = self._open_socket()
        while True:
            waited_from = time.monotonic()
            # The end marker may be sent while this waits, so the wait is cut and looked at again.
            try:
                async with asyncio.timeout(self._flush_silence_s):
                    frame = await socket.recv()
            except TimeoutError:
                ended_s = self.transcript.ended_s
                if ended_s is None or ended_s > waited_from:
                    continue
                self.problem = f"the server said nothing for {self._flush_silence_s:g} s after the audio's end"
                raise
            return frame if isinstance(frame, str) else frame.decode(errors="replace")

    async def _send(self, frame: bytes | str) -> None:
        try:
            await self._open_socket().send(frame)
        except ConnectionClosed as error:
            raise ClosedError(f"the connection is closed ({self.close_code})") from error

    def _open_socket(self) -> ClientConnection:
        if self._socket is None:
            raise RuntimeError("not open: use `async with`")
        return self._socket


def session_url(url: str, parameters: Mapping[str, str]) -> str:
    """Build the WebSocket address of a session from the server's address.

    Raises:
        ValueError: no such address can be built; the message says why.
    """
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:  # a port that is none raises here
        raise ValueError(f"not the address of a server: {url!r} (like ws://127.0.0.1:8000/asr)")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(key == "token" for key, _ in query) or parts.password:
        raise ValueError("a token in a URL ends up in logs: use API_TOKEN or --token")
    path = parts.path.rstrip("/")
    if not path.endswith("/asr"):
        path += "/asr"
    query = [(key, value) for key, value in query if key not in parameters] + list(parameters.items())
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, urlencode(query), ""))


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _is_loopback(host: str) -> bool:
    """Say whether a host is this machine: an HTTP proxy of the environment could not reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

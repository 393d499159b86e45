"""uvicorn's WebSocket, with an end that every client sees when it breaks the protocol (shell)."""

import asyncio
import socket
from typing import Any, cast

import uvicorn
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode
from websockets.version import version as websockets_version

from gateway.transport.client_connection import BY_CLOSE_FRAME, TOO_BIG_BYTES
from shared.errors import WhisperLiveError

DISCARD_S = 5.0
"""What a refused client still sends is read and thrown away for this long; then the connection is cut."""


class Protocol(WebSocketsSansIOProtocol):
    """Refuses a client with a close frame, and lets it read that before the connection ends.

    A message that is too large is refused by its header. The application is told its size as `TOO_BIG_BYTES`, and of
    each disconnect whether there was a close frame as `BY_CLOSE_FRAME`.
    """

    refused = False

    def handle_parser_exception(self) -> None:
        """Refuse what cannot be parsed, after all that came before it."""
        error = self.conn.parser_exc
        self.handle_events()
        if isinstance(error, PayloadTooBig):
            self._refuse({TOO_BIG_BYTES: (error.size or 0) + (error.current_size or 0)})
        else:
            self._refuse({})

    def send_receive_event_to_app(self) -> None:
        """Hand on a message that is complete, unless it is text that is none."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                self.frames = []
                self.conn.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
                self._refuse({})
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, unless nothing can be sent any more."""
        if not self.refused:
            super().handle_ping()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next event, a disconnect with `BY_CLOSE_FRAME`."""
        message = await super().receive()
        if message["type"] != "websocket.disconnect":
            return message
        by_close_frame = self.conn.close_rcvd is not None or self.conn.close_sent is not None
        return cast("ASGIReceiveEvent", {**message, BY_CLOSE_FRAME: by_close_frame})

    async def send(self, message: ASGISendEvent) -> None:
        """Send; what the application says to a refused client is thrown away."""
        if not self.refused:
            await super().send(message)

    def _refuse(self, details: dict[str, object]) -> None:
        """Send the close frame that `conn` has written, end our half of the connection, and read on for a while.

        If the connection were closed at once, data that the client is still sending would reset it, and the client
        might never read the close frame. `conn` discards all that comes now.
        """
        if self.refused:
            return
        close = self.conn.close_sent  # there is none where the handshake has not been answered
        if not self.close_sent:
            code, reason = (close.code, close.reason) if close else (CloseCode.ABNORMAL_CLOSURE, "")
            event = {"type": "websocket.disconnect", "code": code, "reason": reason, **details}
            self.queue.put_nowait(cast("ASGIReceiveEvent", event))
        self.refused = self.close_sent = self.handshake_complete = True
        self.frames = []
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(DISCARD_S, self.transport.abort)


# --- the self-test ----------------------------------------------------------------------------------------------

_TEST_BOUND_BYTES = 500
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_MASK = bytes(4)
_ENDS: tuple[tuple[str, bytes, dict[str, object]], ...] = (
    ("a close frame", b"\x88\x82" + _MASK + b"\x03\xe8", {"code": 1000, BY_CLOSE_FRAME: True}),
    ("a broken connection", b"", {BY_CLOSE_FRAME: False}),
    ("a message above the bound", b"\x82\xfe\x03\xe8" + _MASK, {"code": 1009, TOO_BIG_BYTES: 1000}),
    ("text that is not UTF-8", b"\x81\x81" + _MASK + b"\xff", {"code": 1007, BY_CLOSE_FRAME: True}),
)
"""Each way in which a client may go: what it sends last, and what the application must be told."""


class UnfitServerError(WhisperLiveError):
    """The installed uvicorn does not call what `Protocol` overrides."""


async def self_test() -> None:
    """Let one client go in each way, and compare what the application is told.

    Raises:
        UnfitServerError: it is not told what it must know.
    """
    for way, last, expected in _ENDS:
        try:
            async with asyncio.timeout(5):
                told = await _disconnect_after(last)
        except (TimeoutError, OSError) as error:
            told = {"error": repr(error)}
        if any(told.get(key) != value for key, value in expected.items()):
            raise UnfitServerError(
                f"uvicorn {uvicorn.__version__} with websockets {websockets_version} does not tell of {way} as the "
                f"gateway needs it ({told} instead of {expected}); install the versions that requirements/ names"
            )


async def _disconnect_after(last: bytes) -> dict[str, Any]:
    """Return the event with which a client goes that has sent ``last``, or whose connection breaks if that is empty."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[dict[str, Any]] = loop.create_future()

    async def app(_scope: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.set_result(await receive())

    config = uvicorn.Config(
        app, ws_max_size=_TEST_BOUND_BYTES, ws_ping_interval=None, ws_per_message_deflate=False, log_config=None
    )
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    with theirs:
        transport, _ = await loop.connect_accepted_socket(lambda: Protocol(config, ServerState(), {}), ours)
        try:
            await loop.sock_sendall(theirs, _REQUEST)
            await loop.sock_recv(theirs, 4096)
            if last:
                await loop.sock_sendall(theirs, last)
            else:
                theirs.close()
            return await told
        finally:
            transport.abort()

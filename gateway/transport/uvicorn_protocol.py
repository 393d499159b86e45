"""uvicorn's WebSocket protocol, changed so that a client that breaks a rule sees the close frame about it (shell)."""

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
"""What a refused client still sends is read and discarded for this long; then the connection is aborted."""


class Protocol(WebSocketsSansIOProtocol):
    """Refuses a client with a close frame, and gives it time to read that before the connection ends.

    A message that is too large is refused by its header. Disconnect events carry its size as `TOO_BIG_BYTES`, and as
    `BY_CLOSE_FRAME` whether there was a close frame.
    """

    refused = False

    def handle_parser_exception(self) -> None:
        """Refuse what cannot be parsed, after all events before it are handled."""
        error = self.conn.parser_exc
        self.handle_events()
        if isinstance(error, PayloadTooBig):
            self._refuse({TOO_BIG_BYTES: (error.size or 0) + (error.current_size or 0)})
        else:
            self._refuse({})

    def send_receive_event_to_app(self) -> None:
        """Hand a complete message to the application, unless it is text that is not UTF-8: refuse that."""
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
        """Answer a ping, unless the client is refused: nothing can be sent any more."""
        if not self.refused:
            super().handle_ping()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next event; a disconnect carries `BY_CLOSE_FRAME`."""
        message = await super().receive()
        if message["type"] != "websocket.disconnect":
            return message
        by_close_frame = self.conn.close_rcvd is not None or self.conn.close_sent is not None
        return cast("ASGIReceiveEvent", {**message, BY_CLOSE_FRAME: by_close_frame})

    async def send(self, message: ASGISendEvent) -> None:
        """Send an event of the application; discard it if the client is refused."""
        await self.writable.wait()
        if not self.refused:
            await super().send(message)

    def _refuse(self, details: dict[str, object]) -> None:
        """Send the close frame that `conn` has written, half-close the connection, and read on for a while.

        If the connection were closed at once, data that the client is still sending would reset it, and the client
        might never read the close frame. `conn` discards all that it is given from now on.

        Args:
            details: what the disconnect event carries beside the code.
        """
        if self.refused:
            return
        close = self.conn.close_sent  # None if the handshake has not been answered yet
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
"""The ways in which a connection may end: name, the last bytes of the client, and what the event must hold."""


class UnfitServerError(WhisperLiveError):
    """The installed uvicorn does not call the methods that `Protocol` overrides."""


async def self_test() -> None:
    """End a connection in each way, and compare the events that the application gets.

    Raises:
        UnfitServerError: an event lacks what it must hold.
    """
    for way, last, expected in _ENDS:
        try:
            async with asyncio.timeout(5):
                event = await _disconnect_after(last)
        except (TimeoutError, OSError) as error:
            event = {"error": repr(error)}
        if any(event.get(key) != value for key, value in expected.items()):
            raise UnfitServerError(
                f"uvicorn {uvicorn.__version__} with websockets {websockets_version} does not tell of {way} as the "
                f"gateway needs it ({event} instead of {expected}); install the versions that requirements/ names"
            )


async def _disconnect_after(last: bytes) -> dict[str, Any]:
    """Return the event when a client has sent ``last``, or when its connection breaks if ``last`` is empty."""
    loop = asyncio.get_running_loop()
    event: asyncio.Future[dict[str, Any]] = loop.create_future()

    async def app(_scope: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        event.set_result(await receive())

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
            return await event
        finally:
            transport.abort()

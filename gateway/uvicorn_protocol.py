"""uvicorn's WebSocket, with an end that every client sees when it breaks the protocol (shell)."""

from typing import cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode

from gateway.websocket import TOO_BIG_BYTES

DISCARD_S = 5.0
"""What a refused client still sends is read and thrown away for this long; then the connection is cut."""


class Protocol(WebSocketsSansIOProtocol):
    """Refuses a client with a close frame, and lets it read that before the connection ends.

    A message that is too large is refused by its header. The application is told its size as `TOO_BIG_BYTES`.
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

"""uvicorn's WebSocket with what `gateway.websocket` needs to know beside (shell)."""

import asyncio
from collections.abc import Generator

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.websocket import TOO_BIG_BYTES

MASK_BYTES = 4
"""Follow a client's frame's length, which is all that is read of one that is too large."""

DATA_OPCODES = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})


class Frames(ServerProtocol):
    """A WebSocket's frames: one that is too large is refused by its header, passed over, and nothing of it is held.

    Left to itself it would end the connection on the spot with a bare 1009, and its reader might never see that.
    """

    refusing = False

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        """Fail the connection, unless it is for the size of a message: then its end is the application's."""
        if code != CloseCode.MESSAGE_TOO_BIG or self.state not in (State.OPEN, State.CLOSING):
            super().fail(code, reason)

    def pass_over(self, size_bytes: int) -> None:
        """Throw away the frame that was refused, and every later one that is data; the client's close is heard."""
        self.refusing, self.parser_exc = True, None
        self.current_size = None
        self.parser = self._behind(MASK_BYTES + size_bytes)
        next(self.parser)

    def _behind(self, left_bytes: int) -> Generator[None, None, None]:
        while left_bytes and not (yield from self.reader.at_eof()):
            passed = min(left_bytes, len(self.reader.buffer))
            del self.reader.buffer[:passed]
            left_bytes -= passed
        yield from self.parse()

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame."""
        if not self.refusing or frame.opcode not in DATA_OPCODES:
            super().recv_frame(frame)


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which hands a message that is too large to the application as `TOO_BIG_BYTES`."""

    conn: Frames

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Frames(max_size=config.ws_max_size, logger=self.logger)

    def handle_parser_exception(self) -> None:
        """Answer what cannot be parsed."""
        while isinstance(error := self.conn.parser_exc, PayloadTooBig):
            first, size_bytes = not self.conn.refusing, error.size or 0
            self.conn.pass_over(size_bytes)
            self.handle_events()  # what came before it in the same packet, or its sender's close
            if first:
                refused = {"type": "websocket.receive", TOO_BIG_BYTES: size_bytes + (error.current_size or 0)}
                self.queue.put_nowait(refused)  # type: ignore[arg-type]
        if self.conn.parser_exc is not None:
            super().handle_parser_exception()

"""Start the gateway: settings, logs, uvicorn."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator, Iterator

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.app import create_app, create_switchboard
from gateway.websocket import TOO_BIG_BYTES
from shared import logs
from shared.errors import SettingsError
from shared.settings import GatewaySettings

NEVER = 3
"""Exit code of a process that can never start, so that its supervisor does not try again."""

MASK_BYTES = 4
"""Follow a client's frame's length, which is all that is read of one that is too large."""

DATA_OPCODES = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})

DEAD_PEER_MS = 60_000
"""The kernel drops a connection whose peer has not taken data for so long."""


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


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would close every socket at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


async def serve(settings: GatewaySettings) -> None:
    """Run the gateway until SIGTERM or SIGINT, then flush its sessions and return."""
    log = logs.get("gateway")
    link, switchboard = create_switchboard(settings)
    config = uvicorn.Config(
        create_app(settings, link, switchboard),
        ws=Protocol,
        ws_max_size=settings.max_message_bytes,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    server = Server(config)
    listener = listen(settings.host, settings.port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    host, port = listener.getsockname()[:2]
    log.info(f"Gateway listens on http://{host}:{port}/", event_id="gateway_started", host=host, port=port)
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        log.info("Gateway stops", event_id="gateway_stopping", sessions=switchboard.sessions)
        await switchboard.drain(settings.drain_s)
        server.should_exit = True
    await serving
    stopping.cancel()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        SettingsError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"HOST={host!r} PORT={port}: {error.strerror or error}") from error
    return listener


def main() -> int:
    """Run the gateway and return its exit code."""
    try:
        settings = GatewaySettings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return NEVER
    logs.configure(log_format=settings.log_format, level=settings.log_level, process="gateway")
    # uvicorn writes each WebSocket's address with its query, which may hold a token.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return NEVER
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A network between page and server that can break: a TCP relay whose connections end as if a cable were pulled."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

PIECE_BYTES = 65_536
SMALL_PIECE_BYTES = 4096
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """Passes connections on to a server's port on this machine, as fast as it can or is told to; a context manager."""

    def __init__(self, target: int, bytes_per_s: float | None = None) -> None:
        self.port = 0
        self.connections = 0
        self._bytes_per_s = bytes_per_s
        self._target = target
        self._is_down = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """The page's address by this way."""
        return f"http://localhost:{self.port}/"

    def cut(self) -> None:
        """Break every connection; new ones are reset at once until `mend`."""
        self._is_down = True
        self._do(self._reset())

    def break_once(self) -> None:
        """Break every connection, and let new ones through."""
        self.cut()
        self.mend()

    def mend(self) -> None:
        """Let new connections through."""
        self._is_down = False

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _reset(self) -> None:
        for writer in self._open:
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_down:
            _reset(writer)
            return
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, server_writer}
        self._open |= ends
        await asyncio.gather(self._pass_on(reader, server_writer), self._pass_on(server_reader, writer))
        self._open -= ends

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES if self._bytes_per_s is None else SMALL_PIECE_BYTES):
                writer.write(piece)
                await writer.drain()
                if self._bytes_per_s is not None:
                    await asyncio.sleep(len(piece) / self._bytes_per_s)
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()

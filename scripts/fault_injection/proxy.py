"""A TCP proxy in front of the server, whose connections can be cut (shell)."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

_PIECE_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)  # lingering for no time: closing resets


class Proxy:
    """The TCP connection of one client to the server, through this process."""

    def __init__(self, host: str, port: int) -> None:
        self.url = ""  # where clients connect to, once it listens
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/asr"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> bool:
        """Reset every connection, both ways; return True if there was one."""
        found = bool(self._writers)
        for writer in list(self._writers):
            channel = writer.get_extra_info("socket")
            if channel is not None:
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        ways = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
        self._pumps.update(ways)
        await asyncio.wait(ways)
        self._pumps.difference_update(ways)
        self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until an end closes or breaks."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()

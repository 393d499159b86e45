"""The ROUTER socket to the workers; no other module of this package uses zmq (shell)."""

import asyncio
from pathlib import Path
from typing import cast

import zmq
import zmq.asyncio

from shared import wire
from shared.errors import WireError


class WorkerLink:
    """Receives from all workers, and sends to one by its identity without ever blocking.

    Args:
        endpoint: ``ipc://`` or ``tcp://`` address to bind.
        queue_messages: how many messages may wait for one worker.

    Attributes:
        malformed_messages: how many received messages could not be decoded.
    """

    def __init__(self, endpoint: str, queue_messages: int) -> None:
        self.endpoint = endpoint
        self.malformed_messages = 0
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, queue_messages)
        self._socket.setsockopt(zmq.RCVHWM, queue_messages)

    def bind(self) -> None:
        """Listen; create the directory of an ``ipc://`` socket with mode 0700."""
        if self.endpoint.startswith("ipc://"):
            Path(self.endpoint.removeprefix("ipc://")).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.bind(self.endpoint)

    def send(self, identity: bytes, message: wire.Message) -> bool:
        """Send at once; return False if the worker cannot be reached or its queue is full."""
        frames = [identity, *wire.encode(message)]
        # With DONTWAIT pyzmq returns a future that is done already: sent, EAGAIN or EHOSTUNREACH.
        sent = cast("asyncio.Future[object]", self._socket.send_multipart(frames, flags=zmq.DONTWAIT))
        return sent.done() and sent.exception() is None

    async def receive(self) -> tuple[bytes, wire.Message]:
        """Wait for the next message; count and skip those that cannot be decoded."""
        while True:
            identity, *frames = await self._socket.recv_multipart()
            try:
                return identity, wire.decode(frames)
            except WireError:
                self.malformed_messages += 1

    def close(self) -> None:
        """Close the socket at once, dropping what is unsent."""
        self._socket.close()
        self._context.term()

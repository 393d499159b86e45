"""A zmq socket on an asyncio loop (shell).

`zmq.asyncio` makes a future of each send; here a send is a plain call, and receiving waits for the socket's file
descriptor.
"""

import asyncio

import zmq

Context = zmq.Context[zmq.Socket[bytes]]
"""What all sockets of a process may share."""

TURN = 100
"""Messages that are received without giving the event loop a turn; a flood must not keep it from all else."""


class ZmqSocket:
    """Sends without waiting, receives by `await`. To be used on one event loop; receiving, by one task.

    Args:
        kind: ``zmq.ROUTER``, ``zmq.DEALER`` …
        options: socket options, set before anything else.
        context: of the process; without it the socket has its own, which ends with it.
    """

    def __init__(self, kind: int, options: dict[int, int | bytes], context: Context | None = None) -> None:
        self._owned = context is None
        self._context = context or Context()
        self._socket = self._context.socket(kind)
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        self._readable = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._received = 0

    def bind(self, endpoint: str) -> None:
        """Listen."""
        self._socket.bind(endpoint)

    def connect(self, endpoint: str) -> None:
        """Connect, now or as soon as somebody listens there."""
        self._socket.connect(endpoint)

    def send(self, frames: list[bytes]) -> bool:
        """Send at once; False if the peer cannot be reached or its queue is full."""
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        finally:
            # The descriptor tells of a change once, and a send takes note of it: what has come must not lie unseen.
            if not self._socket.closed and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                self._readable.set()
        return True

    async def receive(self) -> list[bytes]:
        """Wait for the next message.

        Raises:
            zmq.ZMQError: the socket was closed.
        """
        self._received += 1
        if self._received % TURN == 0:
            await asyncio.sleep(0)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket.fileno(), self._readable.set)
        while True:
            self._readable.clear()
            try:
                return self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                await self._readable.wait()

    def close(self) -> None:
        """Close the socket; a task that receives gets an error."""
        if self._socket.closed:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._readable.set()
        if self._owned:
            self._context.term()

"""The ROUTER socket to the workers (shell)."""

from pathlib import Path

import zmq

from shared import wire
from shared.errors import WireError
from shared.zmq_socket import ZmqSocket


class WorkerLink:
    """Receives from all workers, sends to one by its identity. Sends never block.

    Args:
        endpoint: ``ipc://`` or ``tcp://`` address to bind.
        queue_messages: how many messages may wait for a worker.
    """

    def __init__(self, endpoint: str, queue_messages: int) -> None:
        self.endpoint = endpoint
        self.malformed_messages = 0
        options: dict[int, int | bytes] = {
            zmq.ROUTER_MANDATORY: 1,
            zmq.ROUTER_HANDOVER: 1,
            zmq.LINGER: 0,
            zmq.SNDHWM: queue_messages,
            zmq.RCVHWM: queue_messages,
        }
        self._socket = ZmqSocket(zmq.ROUTER, options)

    def bind(self) -> None:
        """Listen; an ``ipc://`` socket's directory is made with mode 0700."""
        if self.endpoint.startswith("ipc://"):
            Path(self.endpoint.removeprefix("ipc://")).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.bind(self.endpoint)

    def send(self, identity: bytes, message: wire.Message) -> bool:
        """Send at once; False if the worker cannot be reached or does not drain its queue."""
        return self._socket.send([identity, *wire.encode(message)])

    async def receive(self) -> tuple[bytes, wire.Message]:
        """Wait for the next message; what is none is counted in ``noise`` and passed over."""
        while True:
            identity, *frames = await self._socket.receive()
            try:
                return identity, wire.decode(frames)
            except WireError:
                self.malformed_messages += 1

    def close(self) -> None:
        """Close the socket at once."""
        self._socket.close()

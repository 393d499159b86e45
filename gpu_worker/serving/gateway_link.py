"""The DEALER socket to one gateway (shell)."""

import zmq

from shared import wire
from shared.errors import WireError
from shared.zmq_socket import Context, ZmqSocket


class Link:
    """Talks to one gateway. Sends never block; what cannot be sent is lost, which the gateway sees in heartbeats.

    Args:
        context: the process's zmq context.
        endpoint: the gateway's address.
        identity: this life of the worker, unique.
        queue_messages: most messages that wait for the gateway.
    """

    def __init__(self, context: Context, endpoint: str, identity: str, queue_messages: int) -> None:
        self.endpoint = endpoint
        options: dict[int, int | bytes] = {
            zmq.IDENTITY: identity.encode(),
            zmq.IMMEDIATE: 1,  # queue nothing for a gateway that is not there
            zmq.LINGER: 200,  # ms: the last words go out, and no exit waits for a dead gateway
            zmq.RECONNECT_IVL: 50,
            zmq.RECONNECT_IVL_MAX: 1000,
            zmq.SNDHWM: queue_messages,
            zmq.RCVHWM: queue_messages,
        }
        self._socket = ZmqSocket(zmq.DEALER, options, context)
        self._socket.connect(endpoint)

    def send(self, message: wire.Message) -> bool:
        """Send without waiting; return False if the gateway is not connected or its queue is full."""
        return self._socket.send(wire.encode(message))

    async def receive(self) -> wire.Message:
        """Wait for the gateway's next message; anything else is skipped."""
        while True:
            frames = await self._socket.receive()
            try:
                return wire.decode(frames)
            except WireError:
                continue

    def close(self) -> None:
        """Close the socket, giving the last messages a moment."""
        self._socket.close()


class Gateway:
    """One gateway as the worker sees it.

    Attributes:
        heard: when its last message came.
        lost: whether it has been silent for too long.
    """

    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.last_seen = now
        self.lost = False

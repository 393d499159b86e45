"""The DEALER socket to one gateway (shell)."""

import zmq

from shared import wire
from shared.errors import WireError
from shared.zmq_socket import Context, ZmqSocket


class Link:
    """Talks to one gateway. Sends never block; the gateway sees in heartbeats that an unsent message was lost.

    Args:
        context: the process's zmq context.
        endpoint: the gateway's address.
        identity: unique to this life of the worker.
        queue_messages: the most messages that wait for the gateway.
    """

    def __init__(self, context: Context, endpoint: str, identity: str, queue_messages: int) -> None:
        self.endpoint = endpoint
        options: dict[int, int | bytes] = {
            zmq.IDENTITY: identity.encode(),
            zmq.IMMEDIATE: 1,  # queue nothing for a gateway that is not there
            zmq.LINGER: 200,  # ms for the last messages: no exit waits for a dead gateway
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
        """Wait for the gateway's next message, skipping frames that are none."""
        while True:
            frames = await self._socket.receive()
            try:
                return wire.decode(frames)
            except WireError:
                continue

    def close(self) -> None:
        """Close the socket; messages that are queued have 0.2 s to leave."""
        self._socket.close()


class Gateway:
    """One gateway as the worker sees it.

    Attributes:
        last_seen: when its last message came.
        lost: whether it has been silent for too long, and its slots were freed.
    """

    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.last_seen = now
        self.lost = False

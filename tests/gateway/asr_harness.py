"""``/asr`` without a network: ASGI sockets in front of an `Exchange`."""

import asyncio
import json

from starlette.routing import Router

from gateway.protocols import PROTOCOLS
from gateway.transport.client_connection import BY_CLOSE_FRAME
from gateway.transport.client_endpoint import ClientEndpoints
from shared.settings import GatewaySettings
from tests.gateway.exchange import Exchange


class AsgiSocket:
    """The client's end of one WebSocket, as an ASGI server presents it."""

    def __init__(self, routes, query="", headers=None, subprotocols=(), path="/asr") -> None:
        lower = {"host": "a.example"} | (headers or {})
        if subprotocols:
            lower["sec-websocket-protocol"] = ", ".join(subprotocols)
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in lower.items()],
            "subprotocols": list(subprotocols),
        }
        self.to_gateway: asyncio.Queue[dict] = asyncio.Queue()
        self.from_gateway: list[dict] = []
        self.to_gateway.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(routes(scope, self.to_gateway.get, self._receive))

    async def _receive(self, message) -> None:
        self.from_gateway.append(message)
        if message["type"] == "websocket.close":  # uvicorn tells the application of its own close, too
            self.close(message["code"])

    def send(self, *payloads) -> None:
        """Send binary or text messages."""
        for payload in payloads:
            kind = "text" if isinstance(payload, str) else "bytes"
            self.to_gateway.put_nowait({"type": "websocket.receive", kind: payload})

    def close(self, code=1000, *, by_close_frame=None, **extra) -> None:
        """Close the socket; with 1006 the network breaks."""
        by_close_frame = code != 1006 if by_close_frame is None else by_close_frame
        self.to_gateway.put_nowait(
            {"type": "websocket.disconnect", "code": code, BY_CLOSE_FRAME: by_close_frame} | extra
        )

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.from_gateway if each["type"] == "websocket.send"]

    @property
    def messages(self) -> list[dict]:
        return [json.loads(text) for text in self.texts]

    def of_type(self, kind) -> list[dict]:
        return [message for message in self.messages if message.get("type") == kind]

    @property
    def closed(self) -> dict | None:
        """Return the gateway's close, if there was one."""
        return next((each for each in self.from_gateway if each["type"] == "websocket.close"), None)

    @property
    def resume_query(self) -> str:
        """Return the query with which a client resumes this socket's session."""
        return f"mode=events&resume={self.messages[0]['resume_token']}"


class GatewayHarness:
    """The endpoints with workers behind them; `settle` runs everything until it has come to rest."""

    def __init__(self, workers=1, protocols=PROTOCOLS, **settings) -> None:
        self.exchange = Exchange(workers=workers, lost_after_s=1e9).boot_all()
        self.manager = self.exchange.manager
        self.endpoints = ClientEndpoints(GatewaySettings.defaults(**settings), self.manager, protocols)
        self.routes = Router(self.endpoints.routes())
        self.sockets: list[AsgiSocket] = []

    def connect(self, query="mode=events", **changes) -> AsgiSocket:
        self.sockets.append(AsgiSocket(self.routes, query, **changes))
        return self.sockets[-1]

    async def connected(self, query="mode=events") -> AsgiSocket:
        """Connect, and let the session become ready."""
        socket = self.connect(query)
        await self.settle(2)
        return socket

    async def settle(self, rounds=6) -> None:
        """Let every task run and the workers work for a while."""
        for _ in range(rounds):
            for _ in range(25):
                await asyncio.sleep(0)
            self.exchange.run()

    async def shut_down(self) -> None:
        """Close every socket, and assert that nothing is left of any session."""
        for socket in self.sockets:
            socket.close()
        await self.settle()
        for socket in self.sockets:
            socket.task.cancel()
        await asyncio.gather(*(socket.task for socket in self.sockets), return_exceptions=True)
        self.exchange.check()
        assert self.endpoints.sockets == 0
        assert self.manager.session_count == 0

"""Requests to an application without a network."""

import asyncio

import httpx


class HttpClient:
    """Sends single requests to an ASGI application, from a chosen address; redirects are not followed."""

    def __init__(self, app, address="127.0.0.1") -> None:
        self._app = app
        self._address = address

    def get(self, path, scheme="http", **options) -> httpx.Response:
        async def ask():
            transport = httpx.ASGITransport(self._app, client=(self._address, 50000))
            async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://a.example") as client:
                return await client.get(path, **options)

        return asyncio.run(ask())

    def open_websocket(self, path) -> list[str]:
        """Return the kinds of messages with which a WebSocket is answered."""
        answers = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            answers.append(message["type"])

        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": []}
        asyncio.run(self._app(scope, receive, send))
        return answers

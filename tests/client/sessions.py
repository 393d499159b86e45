"""Run one session of the client library against a scripted server."""

import asyncio

from whisper_live_client import connect

from tests.scripts.scripted_server import AsrServer


async def consume(events):
    """Take all events."""
    async for _ in events:
        pass


def converse(script, use, **options):
    """Return what `use` returned for a client of this script, and the connections that it made."""

    async def once():
        async with AsrServer(script) as server, asyncio.timeout(30):
            async with connect(server.url, **options) as client:
                result = await use(client)
            return result, server.conversations

    return asyncio.run(once())

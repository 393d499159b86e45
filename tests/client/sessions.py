"""Run one session of the client library against a scripted server."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE

from whisper_live_client import connect

from tests.scripts.scripted_server import AsrServer, end_of, start_command


async def consume(events):
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


def transcribe(script, *arguments, data=None, environment=None, **options):
    """Run the command once against a script; returns the finished command and the connections that it made."""

    async def once():
        async with AsrServer(script, **options) as server:
            stdin = DEVNULL if data is None else PIPE
            process = await start_command(*arguments, "--url", server.url, stdin=stdin, **environment or {})
            return await end_of(process, data), server.conversations

    return asyncio.run(once())

"""Run one session: audio up at the pace asked for, messages down, until everything is said (shell)."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress

from .asr_client import AsrClient, ClosedError
from .audio import BYTES_PER_SAMPLE, duration_s
from .messages import ServerMessage


async def run_session(
    client: AsrClient,
    blocks: AsyncIterable[bytes],
    *,
    paced: bool,
    on_message: Callable[[ServerMessage], None] = lambda _: None,
) -> None:
    """Send all blocks and the end marker while reading, until the server is done or the connection is closed.

    Args:
        client: an open session.
        blocks: s16le audio; what the iteration raises is raised here, after the flush of what was sent.
        paced: send each block when its last sample would have been spoken, as a microphone does;
            otherwise as fast as the server reads.
        on_message: called with every message, after it was folded into the client's transcript.
    """
    sender = asyncio.create_task(_send_all(client, blocks, paced=paced))
    try:
        async for message in client.messages():
            on_message(message)
    finally:
        if not sender.done():
            sender.cancel()
        (outcome,) = await asyncio.gather(sender, return_exceptions=True)
    if isinstance(outcome, BaseException) and not isinstance(outcome, (asyncio.CancelledError, ClosedError)):
        raise outcome


async def _send_all(client: AsrClient, blocks: AsyncIterable[bytes], *, paced: bool) -> None:
    started_s = time.monotonic()
    samples = 0
    try:
        async for block in blocks:
            samples += len(block) // BYTES_PER_SAMPLE
            ahead_s = started_s + duration_s(samples) - time.monotonic()
            if paced and ahead_s > 0:
                await asyncio.sleep(ahead_s)
            await client.send(block)
    except Exception:
        # What was sent before the source failed is still worth its words.
        with suppress(ClosedError):
            await client.finish()
        raise
    await client.finish()

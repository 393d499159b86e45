"""All streams of one run (shell)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from whisper_live_client import ClientError, Transcript, connect
from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

from scripts.faults.network import Network
from scripts.faults.verdict import Heard
from scripts.load.material import Stream
from scripts.load.scoring import Normalise

MESSAGE_BYTES = SAMPLE_RATE // 10 * BYTES_PER_SAMPLE
RECONNECT_S = 60.0
PATIENCE_S = 90.0


async def converse(streams: Sequence[Stream], networks: Sequence[Network], normalise: Normalise) -> tuple[Heard, ...]:
    """Say every stream in real time over its own network; return what was heard of each."""
    pairs = zip(streams, networks, strict=True)
    return tuple(await asyncio.gather(*(_one(stream, network, normalise) for stream, network in pairs)))


async def _one(stream: Stream, network: Network, normalise: Normalise) -> Heard:
    client = connect(network.url, reconnect_s=RECONNECT_S, flush_timeout_s=PATIENCE_S)
    problem = None
    try:
        async with asyncio.timeout(stream.duration_s + PATIENCE_S), client:
            async for _ in client.stream(_blocks(stream), realtime=True):
                pass
    except TimeoutError:
        problem = "did not end in time"
    except ClientError as error:
        problem = str(error)
    return _heard(stream, client.transcript, problem or client.problem, normalise)


async def _blocks(stream: Stream) -> AsyncIterator[bytes]:
    kept = b""
    for piece in stream.pieces():
        kept += piece
        while len(kept) >= MESSAGE_BYTES:
            yield kept[:MESSAGE_BYTES]
            kept = kept[MESSAGE_BYTES:]
    if kept:
        yield kept


def _heard(stream: Stream, transcript: Transcript, problem: str | None, normalise: Normalise) -> Heard:
    books = transcript.accounting
    if problem is None and transcript.errors:
        problem = transcript.errors[-1].error
    if problem is None and (books is None or not transcript.complete):
        problem = "ended without a last word"
    said = " ".join(stream.script(stream.samples).texts)
    return Heard(
        said=tuple(normalise(said)),
        words=tuple(normalise(transcript.committed)),
        times=tuple(
            (word.start_s, word.end_s)
            for word in transcript.words
            if word.start_s is not None and word.end_s is not None
        ),
        sent=stream.samples,
        received=books.received if books else 0,
        transcribed=books.transcribed if books else 0,
        silence=books.silence if books else 0,
        dropped=books.dropped if books else 0,
        moves=len(transcript.moves),
        reconnects=transcript.disconnects,
        violations=tuple(transcript.violations),
        problem=problem,
    )


@contextlib.asynccontextmanager
async def networks(count: int, host: str, port: int) -> AsyncIterator[list[Network]]:
    """Give so many networks to one server."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Network(host, port)) for _ in range(count)]

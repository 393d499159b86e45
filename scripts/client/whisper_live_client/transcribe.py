"""Transcribe a whole file in one call."""

import asyncio
from pathlib import Path

from .audio import MESSAGE_BYTES, regroup
from .blocking_source import BlockingSource
from .connection import ClientError
from .outcome import Exit
from .session import connect
from .transcript import Transcript


async def transcribe_file(
    path: str | Path,
    url: str,
    *,
    language: str | None = None,
    task: str | None = None,
    token: str | None = None,
    realtime: bool = False,
) -> Transcript:
    """Transcribe any audio or video file (needs the extra ``files``).

    Raises:
        MediaError: the file cannot be read as audio.
        ConnectError: the server cannot be reached.
        ClientError: the transcript is not complete; the message says why.
    """
    from .media import open_file  # noqa: PLC0415 - needs the extra

    media = await asyncio.to_thread(open_file, str(path))
    async with connect(url, language=language, task=task, token=token, reconnect_s=60.0) as session:
        source = BlockingSource(regroup(media.pieces(), MESSAGE_BYTES), ahead=8, live=False)
        try:
            async for _ in session.stream(source, realtime=realtime):
                pass
        finally:
            source.stop()
    if session.outcome.exit_code is not Exit.COMPLETE:
        raise ClientError(session.outcome.sentence)
    return session.transcript

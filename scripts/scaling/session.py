"""One session of the run, with what is noted about it."""

import asyncio

from whisper_live_client.audio import duration_s

from scripts.tools.corpus import Stream
from scripts.tools.driver import LEFT, SessionDriver, SessionResult, SessionSettings

from .evidence import Phase, SessionRecord


class Session:
    """A session that says its stream over and over, once it is told to."""

    def __init__(self, settings: SessionSettings, number: int, phase: Phase, stream: Stream) -> None:
        self.number = number
        self.loads: bool | None = None  # whether the server had to load weights for it
        self._phase = phase
        self._driver = SessionDriver(settings, stream, endless=True, silent=True)
        self.speak = self._driver.speak
        self._task: asyncio.Task[SessionResult] | None = None

    async def open(self, limit_s: float) -> None:
        self._task = asyncio.create_task(self._driver.run())
        await self._driver.ready(limit_s)

    async def finish(self) -> None:
        self._driver.stop()
        await self._end()

    async def leave(self) -> None:
        """Close the connection at once, with its handshake, so that the server gives the slot back at once."""
        self._driver.leave()
        await self._end()

    async def _end(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    def record(self) -> SessionRecord:
        transcript, outcome = self._driver.transcript, self._driver.outcome
        problem = outcome.sentence if outcome else ""
        ended = outcome.exit_code.name.lower() if outcome else None

        def since_opening_ms(at_s: float | None) -> float | None:
            return None if at_s is None else (at_s - transcript.opened_s) * 1000

        return SessionRecord(
            number=self.number,
            phase=self._phase,
            session=transcript.config.session if transcript.config else None,
            gpu_id=next((each.gpu_id for each in transcript.statuses if each.gpu_id is not None), None),
            loads=self.loads,
            connected_ms=since_opening_ms(transcript.connected_s),
            ready_ms=since_opening_ms(transcript.ready_s),
            errors=tuple(error.error for error in transcript.errors),
            close_code=self._driver.close_code,
            ended="left" if problem == LEFT else ended,
            problem=problem,
            accounted=transcript.balanced,
            audio_s=duration_s(transcript.sent_samples),
            dropped_s=duration_s(transcript.accounting.dropped) if transcript.accounting else 0.0,
            words=len(transcript.committed.split()),
        )

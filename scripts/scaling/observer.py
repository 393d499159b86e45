"""Look at a server, and notice the sessions of other people."""

import asyncio
import time

from scripts.tools.server_api import AnswerError, ServerApi, UnreachableError

from .evidence import Look

_TRIES, _PAUSE_S = 3, 0.5
_FLOOR_REQUESTS = 5
_HINT = "is this the server, and does it want another MONITOR_TOKEN?"


class CannotRunError(Exception):
    """The checks cannot be made, or not go on; the message is one line for the user."""


class Observer:
    def __init__(self, api: ServerApi) -> None:
        self.known: set[str] = set()  # the sessions that are ours, or were there before
        self._api = api
        self._strange: frozenset[str] = frozenset()

    async def look(self) -> Look:
        for left in reversed(range(_TRIES)):
            try:
                status = await asyncio.to_thread(self._api.gpu_status)
                health = await asyncio.to_thread(self._api.health)
                return Look(time.monotonic(), status, health)
            except AnswerError as error:
                raise CannotRunError(f"{error}: {_HINT}") from error
            except UnreachableError as error:
                if not left:
                    raise CannotRunError(f"the server does not answer: {error}") from error
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError

    def strangers(self, look: Look) -> int:
        """Return how many sessions of others have come since: those seen in two looks running.

        One look is not enough: a session of ours may stand there before its client has heard its id.
        """
        now = look.names - self.known
        both, self._strange = now & self._strange, now
        return len(both)

    async def floor_ms(self) -> float:
        times_ms = []
        for _ in range(_FLOOR_REQUESTS):
            began_s = time.monotonic()
            await asyncio.to_thread(self._api.health)
            times_ms.append((time.monotonic() - began_s) * 1000)
        return min(times_ms)

    async def setup_ms(self) -> float | None:
        try:
            averages = (await asyncio.to_thread(self._api.performance)).averages
        except UnreachableError:
            return None
        return averages.setup_time_ms if averages else None

"""Ask the server's endpoints, and notice other people's sessions (shell)."""

import asyncio
import time

from scripts.load.monitor import JsonObject, Monitor, UnreachableError

from .look import Look, read_look

_TRIES, _PAUSE_S = 3, 0.5
_FLOOR_REQUESTS = 5
_HINT = "is this the server, and does it want another MONITOR_TOKEN?"


class CannotRunError(Exception):
    """The checks cannot be made, or not go on; the message is one line for the user."""


class Survey:
    """Looks at one server.

    Args:
        address: of its sessions, ``ws(s)://host/.../asr``.
        token: for the monitoring endpoints, if they ask for one.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self._monitor = Monitor(address, token)
        self._address = address.partition("?")[0].removesuffix("/asr")
        self._known: set[str] = set()
        self._strange: frozenset[str] = frozenset()

    async def look(self) -> Look:
        """Take a look.

        Raises:
            CannotRunError: the server does not answer, or is none that the guide describes.
        """
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                gpu_status = await self._get("/gpu-status")
                return read_look(gpu_status, await self._get("/health"), time.monotonic())
            except UnreachableError as error:
                if isinstance(error.__cause__, ValueError):
                    raise CannotRunError(f"{self._address}/gpu-status is no JSON: {_HINT}") from error
                if last:
                    raise CannotRunError(f"the server does not answer: {error}") from error
            except ValueError as error:
                raise CannotRunError(f"{error}: {_HINT}") from error
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError

    async def floor_ms(self) -> float:
        """Return the time of the fastest of some plain requests: what the way to the server and back costs."""
        times_ms = []
        for _ in range(_FLOOR_REQUESTS):
            began_s = time.monotonic()
            await self._get("/health")
            times_ms.append((time.monotonic() - began_s) * 1000)
        return min(times_ms)

    async def setup_ms(self) -> float | None:
        """Return the server's own average of all setups since its start."""
        try:
            averages = (await self._get("/performance")).get("averages")
        except UnreachableError:
            return None
        value = averages.get("setup_time_ms") if isinstance(averages, dict) else None
        return float(value) if isinstance(value, (int, float)) else None

    def ours(self, session: str) -> None:
        """Note that a session is one of ours, or was there before."""
        self._known.add(session)

    def strangers(self, look: Look) -> int:
        """Return how many sessions of others have come since: those seen in two looks running.

        One look is not enough: a session of ours may stand there before its client has heard its id.
        """
        now = look.names - self._known
        both, self._strange = now & self._strange, now
        return len(both)

    async def _get(self, path: str) -> JsonObject:
        return await asyncio.to_thread(self._monitor.get, path)

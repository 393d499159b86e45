"""Decide whether a lost connection is tried again, and when (core)."""

from dataclasses import dataclass

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_DOUBLINGS = 5

# How a connection ends that its server did not mean to end for good.
_BROKEN = {1001, 1006, 1012}
_NO_ROOM = 1013
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended, or why there was none.

    Attributes:
        close_code: its WebSocket close code, None if it never was opened.
        http_status: what the server answered in place of opening it.
        retry_after_s: when the server said that a next try makes sense.
        begun: whether the session had its slot before: one that has not is refused for good by a full server.
    """

    close_code: int | None = None
    http_status: int | None = None
    retry_after_s: float | None = None
    begun: bool = True

    @property
    def passing(self) -> bool:
        """Whether a later try may be better; wrong tokens and parameters stay wrong."""
        if self.close_code is not None:
            return self.close_code in _BROKEN or (self.close_code == _NO_ROOM and self.begun)
        return self.http_status is None or self.http_status >= 500 or self.http_status == _TOO_MANY_REQUESTS


class Recovery:
    """One session's tries to get its connection back.

    A new connection by itself proves nothing: the bound on one loss goes on until words or acknowledgements come.

    Args:
        bound_s: how long a session may be without a connection that works; 0 for not at all.
    """

    def __init__(self, bound_s: float) -> None:
        self.bound_s = bound_s
        self._since: float | None = None
        self._tries = 0

    def delay_s(self, ending: Ending, now: float, chance: float) -> float | None:
        """Return how long to wait before the next try, or None to give up.

        Args:
            ending: how the last connection ended.
            now: seconds of a monotonic clock.
            chance: from 0 to 1, at random, so that many clients of one server do not come back at the same moment.
        """
        if not self.bound_s or not ending.passing:
            return None
        self._since = now if self._since is None else self._since
        left_s = self.left_s(now)
        if left_s <= 0:
            return None
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(self._tries, _DOUBLINGS)) * (1 + chance) / 2
        self._tries += 1
        if ending.close_code == _NO_ROOM and ending.retry_after_s:
            delay_s = max(delay_s, ending.retry_after_s)
        return min(delay_s, left_s)

    def left_s(self, now: float) -> float:
        """Return for how long a loss may still last."""
        return self.bound_s if self._since is None else self._since + self.bound_s - now

    def progressed(self) -> None:
        """Note that the session goes on: the next loss is a new one."""
        self._since, self._tries = None, 0

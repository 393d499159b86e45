"""Decide whether a lost connection is tried again, and when."""

from dataclasses import dataclass

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_DOUBLINGS = 5

# How a connection ends that its server did not mean to end for good.
_BROKEN = {1001, 1006, 1012}
_NO_CAPACITY = 1013
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Disconnect:
    close_code: int | None = None  # None if it never was opened
    http_status: int | None = None  # what the server answered in place of opening it
    retry_after_s: float | None = None
    was_ready: bool = True  # had its slot before: a session that has not is refused for good by a full server

    @property
    def retryable(self) -> bool:
        """Whether a later try may be better; wrong tokens and parameters stay wrong."""
        if self.close_code is not None:
            return self.close_code in _BROKEN or (self.close_code == _NO_CAPACITY and self.was_ready)
        return self.http_status is None or self.http_status >= 500 or self.http_status == _TOO_MANY_REQUESTS


class RetryPolicy:
    """One session's tries to get its connection back, which may be away for ``limit_s``; 0 is for no tries at all.

    A new connection by itself proves nothing: the limit goes on until words or acknowledgements come (`reset`).
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: float | None = None
        self._tries = 0

    def delay_s(self, disconnect: Disconnect, now: float, jitter: float) -> float | None:
        """Return how long to wait before the next try, or None to give up.

        ``jitter`` is from 0 to 1, at random: many clients of one server must not come back at the same moment.
        """
        if not self.limit_s or not disconnect.retryable:
            return None
        self._since = now if self._since is None else self._since
        remaining_s = self.remaining_s(now)
        if remaining_s <= 0:
            return None
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(self._tries, _DOUBLINGS)) * (1 + jitter) / 2
        self._tries += 1
        if disconnect.close_code == _NO_CAPACITY and disconnect.retry_after_s:
            delay_s = max(delay_s, disconnect.retry_after_s)
        return min(delay_s, remaining_s)

    def remaining_s(self, now: float) -> float:
        return self.limit_s if self._since is None else self._since + self.limit_s - now

    def reset(self) -> None:
        """Note that the session goes on: the next loss is a new one."""
        self._since, self._tries = None, 0

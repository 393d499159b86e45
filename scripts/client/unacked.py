"""Keep the audio a resumed session would have to send again (core).

A server that lost the session (restart, expired token) needs everything from ``committed_until``; one that kept it
needs everything from ``received``. Both lie inside what is kept here.
"""

from collections import deque

from .audio import BYTES_PER_SAMPLE


class Unacked:
    """Audio that was sent and whose words are not committed yet, newest ``bound_bytes`` of it.

    The audio has been sent already, so forgetting the oldest at the bound loses nothing now; ``first_sample`` says
    from where a resume would still be complete.
    """

    def __init__(self, bound_bytes: int) -> None:
        self._bound_bytes = bound_bytes
        self._chunks: deque[bytes] = deque()
        self._start_bytes = 0
        self._end_bytes = 0

    @property
    def first_sample(self) -> int:
        """The first sample that is still here."""
        return self._start_bytes // BYTES_PER_SAMPLE

    @property
    def size_bytes(self) -> int:
        """How much audio is kept."""
        return self._end_bytes - self._start_bytes

    def append(self, pcm: bytes) -> None:
        """Keep audio that was just sent."""
        self._chunks.append(pcm)
        self._end_bytes += len(pcm)
        self._trim(self._end_bytes - self._bound_bytes)

    def acknowledge(self, committed_until: int) -> None:
        """Forget everything before a sample; one that lies before the first kept changes nothing."""
        self._trim(min(committed_until, self._end_bytes // BYTES_PER_SAMPLE) * BYTES_PER_SAMPLE)

    def since(self, sample: int) -> bytes:
        """Return all audio from a sample on.

        Raises:
            LookupError: that sample is forgotten, or was never sent.
        """
        offset_bytes = sample * BYTES_PER_SAMPLE - self._start_bytes
        if not 0 <= offset_bytes <= self.size_bytes:
            raise LookupError(f"sample {sample} is not kept (first kept: {self.first_sample})")
        return b"".join(self._chunks)[offset_bytes:]

    def check(self) -> None:
        """Assert what holds between two calls."""
        assert sum(map(len, self._chunks)) == self.size_bytes
        assert self.size_bytes <= self._bound_bytes

    def _trim(self, to_bytes: int) -> None:
        while self._start_bytes < to_bytes:
            chunk = self._chunks.popleft()
            surplus_bytes = to_bytes - self._start_bytes
            if surplus_bytes < len(chunk):
                self._chunks.appendleft(chunk[surplus_bytes:])
                self._start_bytes = to_bytes
            else:
                self._start_bytes += len(chunk)

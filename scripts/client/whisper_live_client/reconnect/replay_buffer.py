"""Keep the audio that a session has to send, or might have to send again.

A server that lost the session (restart, expired token) needs everything from the end of the last final; one that kept
it needs everything from ``received``. Both lie inside what is kept here.
"""

from collections import deque

from whisper_live_client.audio import BYTES_PER_SAMPLE


class ReplayBuffer:
    """Audio whose words are not final yet: first what has been sent on the present connection, then what has not.

    At ``limit_bytes`` the oldest is forgotten, but never what is still to be sent: ``first_sample`` says from where a
    resume would be complete.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._chunks: deque[bytes] = deque()
        self._start_bytes = 0
        self._sent_bytes = 0
        self._end_bytes = 0

    @property
    def first_sample(self) -> int:
        """The first sample that is still here as a whole."""
        return -(-self._start_bytes // BYTES_PER_SAMPLE)

    @property
    def sent_samples(self) -> int:
        return self._sent_bytes // BYTES_PER_SAMPLE

    @property
    def end_samples(self) -> int:
        return self._end_bytes // BYTES_PER_SAMPLE

    @property
    def size_bytes(self) -> int:
        return self._end_bytes - self._start_bytes

    def append(self, pcm: bytes) -> None:
        self._chunks.append(pcm)
        self._end_bytes += len(pcm)
        self._trim(self._end_bytes - self._limit_bytes)

    def next_unsent(self) -> bytes:
        """Return what is to be sent next: messages as they were appended; nothing if all is sent."""
        begin_bytes = self._end_bytes
        for chunk in reversed(self._chunks):
            begin_bytes -= len(chunk)
            if begin_bytes <= self._sent_bytes:
                return chunk[self._sent_bytes - begin_bytes :]
        return b""

    def advance(self, size_bytes: int) -> None:
        self._sent_bytes += size_bytes
        self._trim(self._end_bytes - self._limit_bytes)

    def rewind(self, sample: int) -> None:
        if not self.first_sample <= sample <= self.end_samples:
            raise LookupError(f"sample {sample} is not kept ({self.first_sample} to {self.end_samples} are)")
        self._sent_bytes = sample * BYTES_PER_SAMPLE

    def acknowledge(self, sample: int) -> None:
        """Forget everything before a sample; one that lies before the first kept changes nothing."""
        self._trim(sample * BYTES_PER_SAMPLE)

    def check(self) -> None:
        assert sum(map(len, self._chunks)) == self.size_bytes
        assert self._start_bytes <= self._sent_bytes <= self._end_bytes
        assert self.size_bytes <= max(self._limit_bytes, self._end_bytes - self._sent_bytes)

    def _trim(self, to_bytes: int) -> None:
        to_bytes = min(to_bytes, self._sent_bytes)
        while self._start_bytes < to_bytes:
            chunk = self._chunks.popleft()
            surplus_bytes = to_bytes - self._start_bytes
            if surplus_bytes < len(chunk):
                self._chunks.appendleft(chunk[surplus_bytes:])
                self._start_bytes = to_bytes
            else:
                self._start_bytes += len(chunk)

"""A session's audio that may still be needed, because its text is not committed yet, by sample position."""

from collections import deque
from collections.abc import Iterator

from shared.messages import SAMPLE_RATE

_BYTES = 2  # a sample is s16le

CHUNK_BYTES = 8000
"""Audio is joined to chunks of at least a quarter of a second, so that tiny messages cost little memory."""


class Journal:
    """Audio from ``start`` to ``end``, in samples since the session began.

    Appended at the end by the client, trimmed at the front as text is committed.
    """

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._chunks: deque[tuple[int, bytearray]] = deque()

    def append(self, pcm: bytes) -> int:
        """Add whole samples; return the position of the first."""
        position = self.end
        if self._chunks and len(self._chunks[-1][1]) < CHUNK_BYTES:
            self._chunks[-1][1].extend(pcm)
        elif pcm:
            self._chunks.append((position, bytearray(pcm)))
        self.end += len(pcm) // _BYTES
        return position

    def trim(self, keep_from: int) -> None:
        """Forget the samples before ``keep_from``; their memory is freed by whole chunks."""
        keep_from = min(keep_from, self.end)
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) // _BYTES <= keep_from:
            self._chunks.popleft()
        self.start = max(self.start, keep_from)

    def read(self, position: int, most: int = SAMPLE_RATE) -> Iterator[tuple[int, bytes]]:
        """Yield the audio from ``position`` on in pieces of at most ``most`` samples, each with its position.

        Raises:
            ValueError: the journal begins later.
        """
        if position < self.start:
            raise ValueError(f"sample {position} was trimmed (the journal starts at {self.start})")
        for first, pcm in self._chunks:
            offset = max(0, position - first) * _BYTES
            for at in range(offset, len(pcm), most * _BYTES):
                yield first + at // _BYTES, bytes(pcm[at : at + most * _BYTES])

    @property
    def held_s(self) -> float:
        return (self.end - self.start) / SAMPLE_RATE

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert self.start <= self.end
        at = self._chunks[0][0] if self._chunks else self.end
        assert at <= self.start
        for first, pcm in self._chunks:
            assert first == at
            assert len(pcm) % _BYTES == 0
            at += len(pcm) // _BYTES
        assert at == self.end

"""Core: the part of a stream's audio that is still needed."""

import numpy as np

from gpu_worker.recognizer import Pcm

SAMPLE_BYTES = 2


class SampleBuffer:
    """Holds s16le samples from ``start`` (inclusive) to ``end`` (exclusive), positions of the session.

    The stream drops what it no longer needs, so that memory does not grow with the session.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._bytes = bytearray()

    @property
    def start(self) -> int:
        """Return the position of the first sample in the buffer."""
        return self._start

    @property
    def end(self) -> int:
        """Return the position after the last sample in the buffer."""
        return self._start + len(self._bytes) // SAMPLE_BYTES

    def append(self, start: int, pcm: bytes) -> None:
        """Append samples from ``start`` on, skipping those that are in the buffer already.

        Raises:
            ValueError: the bytes are not whole samples, or samples between ``end`` and ``start`` are missing.
        """
        if len(pcm) % SAMPLE_BYTES:
            raise ValueError(f"{len(pcm)} bytes are not a whole number of samples")
        if start > self.end:
            raise ValueError(f"audio from {start} leaves a gap after {self.end}")
        self._bytes += memoryview(pcm)[(self.end - start) * SAMPLE_BYTES :]

    def copy(self, start: int, end: int) -> Pcm:
        """Return the samples from ``start`` to ``end``.

        Raises:
            ValueError: some of them are not in the buffer.
        """
        if not self._start <= start <= end <= self.end:
            raise ValueError(f"samples {start} to {end} are not within {self._start} to {self.end}")
        first, last = ((position - self._start) * SAMPLE_BYTES for position in (start, end))
        return np.frombuffer(self._bytes[first:last], dtype="<i2")

    def drop_before(self, position: int) -> None:
        """Drop the samples before ``position``."""
        dropped = min(position, self.end) - self._start
        if dropped > 0:
            del self._bytes[: dropped * SAMPLE_BYTES]
            self._start += dropped

"""The one audio format of `/asr`, and regrouping it into messages."""

from collections.abc import Iterable, Iterator

SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2
MESSAGE_BYTES = SAMPLE_RATE * BYTES_PER_SAMPLE // 10


def duration_s(samples: int) -> float:
    return samples / SAMPLE_RATE


def regroup(pieces: Iterable[bytes], message_bytes: int) -> Iterator[bytes]:
    """Cut s16le pieces of any length into messages of one size; the last one may be shorter.

    A half sample at the very end is left out: it is no audio.
    """
    pending = bytearray()
    for piece in pieces:
        pending += piece
        whole_bytes = len(pending) - len(pending) % message_bytes
        for start in range(0, whole_bytes, message_bytes):
            yield bytes(pending[start : start + message_bytes])
        del pending[:whole_bytes]
    del pending[len(pending) - len(pending) % BYTES_PER_SAMPLE :]
    if pending:
        yield bytes(pending)

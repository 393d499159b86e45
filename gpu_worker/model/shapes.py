"""Few shapes instead of many: what a device has prepared for one shape serves again (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

_FRAMES = 64
_ALIGNED = 8
"""A mask's rows are multiples of this, as the attention kernels read them."""

_ROWS = 8192
"""Columns of a batch that keep a large device busy; more in one batch gain nothing and pad more."""


def up(count: int, step: int) -> int:
    """Return the next multiple."""
    return -(-count // step) * step


def batch_rows(count: int) -> int:
    """Return how many rows to compute for ``count``: powers of two up to 16, then multiples of 16."""
    return 1 << (count - 1).bit_length() if count <= 16 else up(count, 16)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """A shape that windows are encoded in.

    Attributes:
        frames: that are convolved.
        columns: that go through the layers.
    """

    frames: int
    columns: int

    @classmethod
    def of(cls, kept: int, group: int, edge: int, context: int) -> "EncoderShape":
        """Return the shape for windows of up to ``kept`` frames, with ``edge`` more to convolve."""
        frames = min(up(kept, _FRAMES), context)
        groups = 0 if frames == context else -(-context // group) - frames // group
        return cls(min(frames + edge, context), up(frames + groups, _ALIGNED))


def parted(lengths: Sequence[int]) -> list[list[int]]:
    """Part windows into batches of like lengths; answer their indices.

    Each batch is padded to its longest, so windows are taken in order of length, and no more of them together than
    keep the device busy.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    parts: list[list[int]] = []
    for i in order:
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= _ROWS:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts

"""Round sizes up to few shapes, since a device prepares kernels for each (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

_FRAMES = 64
_ALIGNED = 8
"""A mask's rows are multiples of this, as the attention kernels read them."""

_COLUMNS = 65_536
"""The most columns of one pass: a large model's layer makes 2 GB of them."""

_ALIKE = 7 / 8
"""The least share of the longest window's length in a part."""


def round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def batch_rows(count: int) -> int:
    """Return how many rows to compute for ``count``: powers of two up to 16, then multiples of 16."""
    return 1 << (count - 1).bit_length() if count <= 16 else round_up(count, 16)


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
        frames = min(round_up(kept, _FRAMES), context)
        groups = 0 if frames == context else -(-context // group) - frames // group
        return cls(min(frames + edge, context), round_up(frames + groups, _ALIGNED))


def split_into_passes(lengths: Sequence[int]) -> list[list[list[int]]]:
    """Split windows into passes, and passes into parts of like lengths; return their indices.

    Products take all columns of a pass as one, whatever windows they are of: the more, the busier the device. Attention
    takes a part as one, padded to its longest window.
    """
    passes: list[list[list[int]]] = []
    columns = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[passes[-1][-1][0]] if passes else lengths[i]
        alike = lengths[i] >= _ALIKE * longest
        taken = round_up(longest if alike else lengths[i], _ALIGNED)
        if not passes or columns + taken > _COLUMNS:
            passes.append([[i]])
            columns = round_up(lengths[i], _ALIGNED)
            continue
        columns += taken
        if alike:
            passes[-1][-1].append(i)
        else:
            passes[-1].append([i])
    return passes


@dataclass(frozen=True, slots=True)
class Packing:
    """The layout of a pass: the columns of its windows, one window after another.

    Attributes:
        parts: how many windows there are in each part, and of how many columns each of them.
    """

    parts: tuple[tuple[int, int], ...]

    @classmethod
    def tight(cls, parts: Sequence[Sequence[int]]) -> "Packing":
        """Pack parts of windows of the given lengths; the longest of a part comes first."""
        return cls(tuple((len(part), round_up(part[0], _ALIGNED)) for part in parts))

    @property
    def columns(self) -> int:
        return sum(windows * columns for windows, columns in self.parts)

    def starts(self) -> list[int]:
        """Return the first column of each window."""
        found: list[int] = []
        at = 0
        for windows, columns in self.parts:
            found += range(at, at + windows * columns, columns)
            at += windows * columns
        return found

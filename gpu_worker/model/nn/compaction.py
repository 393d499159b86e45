"""The columns of a window, silence in groups and then its frames, and the level of its spectrum."""

from dataclasses import dataclass

import torch
from torch import Tensor

EDGE = 4
"""Silent frames convolved after the audio, so that its last frames see what they would in the padded window."""

FLOOR = -10.0
"""The least value of a raw mel spectrum, log10 of 1e-10."""

RANGE = 8.0
"""Whisper's scale ends 80 dB below the loudest value of a window."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How a window's silence is compacted and its frames are reused (measured on tiny.en and base).

    Attributes:
        group: silent frames that one key stands for.
        tail: silent frames kept after the audio, at least 4; with 25, and groups over 64, the decoder loops.
        loudest: a window whose loudest mel value (log10 power) is below this is brought up to it, ...
        gain: ... by no more than this (log10 power; 4 are 40 dB).
        keep: whether encoded frames are kept for the next step, which then computes new frames only.
        margin: frames before the new ones that are computed again. Relative error of the new frames' last values: 2.3 %
            at 25, 9.8 % at 0.
        growth: at this many times the length at which all of a window was last computed, all of it is computed again.
        drift: how far a window's level may move before all of it is computed again (log10 power).
    """

    group: int = 16
    tail: int = 50
    loudest: float = 1.0
    gain: float = 4.0
    keep: bool = True
    margin: int = 25
    growth: float = 2.0
    drift: float = 0.2


@dataclass(frozen=True, slots=True)
class Level:
    """How a window's spectrum is scaled.

    Whisper's scale is absolute, and it misses quiet speech (clips with fleurs at -65 dBFS among them: word error rate
    14.9 % without the gain, 9.0 % with it).

    Attributes:
        lift: what is added to raw values of a quiet window.
        floor: raw values, lifted, are at least this.
    """

    lift: float
    floor: float

    @classmethod
    def of(cls, raw: Tensor, settings: EncoderSettings) -> "Level":
        """Measure a window's raw mel."""
        loudest = float(raw.max())
        lift = min(max(settings.loudest - loudest, 0.0), settings.gain)
        return cls(lift, max(loudest + lift - RANGE, FLOOR))

    @property
    def silence(self) -> float:
        return (self.floor + 4.0) / 4.0

    def scale(self, raw: Tensor) -> Tensor:
        """Scale raw mel as Whisper does."""
        lifted = (raw + self.lift).clamp(min=FLOOR) if self.lift else raw
        return (lifted.clamp(min=self.floor) + 4.0) / 4.0

    def near(self, other: "Level", drift: float) -> bool:
        """Return True if frames scaled one way can be used with frames scaled the other."""
        return abs(self.floor - other.floor) <= drift and abs(self.lift - other.lift) <= drift


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the frames and silence groups of one window lie.

    Group ``j`` of silence is column ``j`` and frame ``p`` is column ``groups + p``, whatever the window's length: as
    a window grows its first groups fall away and its columns stay where they are.

    Attributes:
        groups: silence groups in a context that is all silence.
        frames: frames of audio.
        kept: frames that have a column: the audio and its tail, whole groups of them.
        begin: the first column in use.
    """

    groups: int
    frames: int
    kept: int
    begin: int

    @classmethod
    def of(cls, frames: int, context: int, settings: EncoderSettings, *, full: bool = False) -> "Layout":
        """Lay out a window of ``frames`` in a context of ``context`` frames; with ``full`` no silence is grouped."""
        groups = -(-context // settings.group)
        kept = -(-(frames + settings.tail) // settings.group) * settings.group
        if full or kept >= context:
            return cls(groups, frames, context, groups)
        return cls(groups, frames, kept, kept // settings.group)

    @property
    def end(self) -> int:
        """One past the last column."""
        return self.groups + self.kept

    @property
    def compact(self) -> bool:
        """Whether any silence is grouped."""
        return self.begin < self.groups

    def silent_positions(self, context: int) -> tuple[Tensor, Tensor]:
        """Return the position that stands for each silence group in use, and how many frames it stands for."""
        size = -(-context // self.groups)
        edges = torch.arange(self.begin, self.groups + 1).mul(size).clamp(max=context)
        sizes = edges.diff()
        return edges[:-1] + sizes // 2, sizes

    def bias(self, context: int) -> Tensor | None:
        """Return what is added to the attention logits of each column in use; None where it is nothing."""
        if not self.compact:
            return None
        _, sizes = self.silent_positions(context)
        return torch.cat([sizes.float().log(), torch.zeros(self.kept)])


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the decoder attends to, for one window.

    Attributes:
        keys: (layers, heads, width, columns); transposed, as products need them.
        values: (layers, heads, columns, width).
        bias: (columns,), added to attention logits; None where there is nothing to add.
        first: the column of the window's first frame.
        frames: how many columns from there are audio.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor | None
    first: int
    frames: int

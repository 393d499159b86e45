"""What the decoding algorithm asks of a decoder, whichever way it computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gpu_worker.model.nn.compaction import Encoding
from gpu_worker.model.nn.vocabulary import Choice, Vocabulary


@dataclass(frozen=True, slots=True)
class DecodeSlot:
    """What one window needs in a batch.

    Attributes:
        encoding: its audio.
        room: tokens that it may come to hold, forced and drafted ones among them.
        skip: tokens before the first whose attention to the audio is recorded.
    """

    encoding: Encoding
    room: int
    skip: int


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Consecutive new tokens of one row.

    Attributes:
        row: which window of the batch.
        past: how many of its tokens have been run before; what was run beyond that is taken back.
        count: how many are new.
    """

    row: int
    past: int
    count: int


class Batch(Protocol):
    """Windows that are decoded together, and their tokens so far."""

    def forward(self, parts: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Run the parts' tokens, laid one after the other; return (tokens, width), normalised."""

    def choose_next(self, parts: Sequence[TokenSpan], tokens: Sequence[int]) -> Choice:
        """Run one token of each part, and choose what follows it."""

    def attention(self, row: int, count: int) -> Tensor:
        """Return the attention of the alignment heads from a row's first recorded token on, (heads, count, frames)."""


class TextDecoder(Protocol):
    """The text side of a model on a device."""

    vocabulary: Vocabulary
    capacity: int

    def begin(self, sheets: Sequence[DecodeSlot]) -> Batch:
        """Make room for windows; with some decoders only until the next begin."""

"""The interface of a decoder, on a CPU or on CUDA, to the decoding algorithm."""

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
        max_tokens: the most tokens that it may reach, forced and drafted ones included.
        skip: tokens before the first whose attention to the audio is recorded.
    """

    encoding: Encoding
    max_tokens: int
    skip: int


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Consecutive new tokens of one row.

    Attributes:
        row: which window of the batch.
        past: how many of its earlier tokens stand; those that were run beyond them are rejected.
        count: how many are new.
    """

    row: int
    past: int
    count: int


class Batch(Protocol):
    """Windows that are decoded together, and their tokens so far."""

    def forward(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Run the spans' tokens, one span after the other; return (tokens, width), normalised."""

    def choose_next(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Choice:
        """Run one token of each span, and choose the next."""

    def attention(self, row: int, count: int) -> Tensor:
        """Return the attention of the alignment heads from a row's first recorded token on, (heads, count, frames)."""


class TextDecoder(Protocol):
    """The text side of a model on a device."""

    vocabulary: Vocabulary
    capacity: int

    def begin(self, slots: Sequence[DecodeSlot]) -> Batch:
        """Begin a batch of windows. On CUDA the next batch takes its memory over."""

"""Whisper's decoder on a CPU: rows of any lengths, each attending to its own keys and no others.

A row's tokens are written where its length says, and a key is seen only by positions at or after it. What lies
beyond a row's length is therefore never read before it is overwritten: rejecting tokens is lowering a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.nn.compaction import Encoding
from gpu_worker.model.nn.decoder_api import DecodeSlot, TokenSpan
from gpu_worker.model.nn.layers import TextLayers
from gpu_worker.model.nn.linear import bucket
from gpu_worker.model.nn.vocabulary import Choice, Vocabulary


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Consecutive tokens of one row in one forward pass.

    Attributes:
        row: the row's place in the cache.
        past: how many tokens of the row the cache holds.
        count: how many tokens are new.
        encoding: the row's audio.
        attention: (alignment heads, tokens, frames); where the row's attention to its audio is recorded.
        skip: tokens of the row before the first whose attention is recorded.
    """

    row: int
    past: int
    count: int
    encoding: Encoding
    attention: Tensor
    skip: int


class Cache:
    """Keys and values of all rows of one batch, (layers, rows, heads, tokens, width) each."""

    def __init__(self, shape: tuple[int, int, int, int, int], device: torch.device) -> None:
        self.keys = torch.empty(shape, device=device)
        self.values = torch.empty(shape, device=device)


class Decoder:
    """The text side of one model on one device."""

    def __init__(self, layers: TextLayers, vocabulary: Vocabulary, device: torch.device) -> None:
        self.vocabulary = vocabulary
        self.capacity = len(layers.positions)
        self.attention_heads = layers.attention_heads
        self._layers = layers
        self._device = device

    def begin(self, slots: Sequence[DecodeSlot]) -> "RaggedBatch":
        return RaggedBatch(self, slots)

    def cache(self, rows: int, tokens: int) -> Cache:
        """Allocate a cache for ``rows`` of up to ``tokens`` each."""
        layers, heads, width = self._layers.shape
        return Cache((layers, rows, heads, tokens, width), self._device)

    def forward(self, tokens: Sequence[int], spans: Sequence[RowSpan], cache: Cache) -> Tensor:
        """Run new tokens of several rows, one row after the other; return (tokens, width), normalised."""
        _, heads, width = self._layers.shape
        positions = torch.cat([torch.arange(s.past, s.past + s.count) for s in spans]).to(self._device)
        x = self.vocabulary.embed(tokens) + self._layers.positions[positions]
        x = F.pad(x, (0, 0, 0, bucket(len(tokens)) - len(tokens)))  # padding rows; nothing attends to them
        masks = [self._causal(s) for s in spans]
        for layer, block in enumerate(self._layers.blocks):
            qkv = block.qkv(block.attention_norm(x)).float().view(len(x), 3, heads, width)
            x = x + block.out(_attend_text(qkv, spans, masks, cache.keys[layer], cache.values[layer]))
            crossing = block.crossing
            q = crossing.query(crossing.norm(x)).float().view(len(x), heads, width)
            x = x + crossing.out(self._attend_audio(layer, q, spans))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return self._layers.norm(x[: len(tokens)])

    def _causal(self, span: RowSpan) -> Tensor | None:
        """Return the mask that keeps tokens from attending to later ones, (new tokens, all keys)."""
        if span.count == 1:
            return None
        total = span.past + span.count
        later = torch.ones(span.count, total, dtype=torch.bool, device=self._device).triu_(span.past + 1)
        return torch.zeros(span.count, total, device=self._device).masked_fill_(later, float("-inf"))

    def _attend_audio(self, layer: int, q: Tensor, spans: Sequence[RowSpan]) -> Tensor:
        """Attend to each row's audio, and record the attention of the alignment heads."""
        at = 0
        out = torch.zeros_like(q)
        for span in spans:
            encoding = span.encoding
            keys, values = encoding.keys[layer], encoding.values[layer]
            scores = torch.bmm(q[at : at + span.count].transpose(0, 1).to(keys.dtype), keys).float()
            if encoding.bias is not None:
                scores += encoding.bias
            weights = scores.softmax(-1)
            if layer in self._layers.alignment_heads:
                self._record_attention(layer, weights, span)
            out[at : at + span.count] = torch.bmm(weights.to(values.dtype), values).transpose(0, 1)
            at += span.count
        return out.flatten(1)

    def _record_attention(self, layer: int, weights: Tensor, span: RowSpan) -> None:
        heads, row = self._layers.alignment_heads[layer]
        first = max(span.skip - span.past, 0)  # the prompt and the marks before the text are not aligned
        place = span.past + first - span.skip
        frames = slice(span.encoding.first, span.encoding.first + span.encoding.frames)
        span.attention[row : row + len(heads), place : place + span.count - first] = weights[heads, first:, frames]


def _attend_text(
    qkv: Tensor, spans: Sequence[RowSpan], masks: Sequence[Tensor | None], keys: Tensor, values: Tensor
) -> Tensor:
    """Write the new keys and values, then attend to each row's own tokens."""
    at = 0
    out = torch.zeros_like(qkv[:, 0])
    for span, mask in zip(spans, masks, strict=True):
        total = span.past + span.count
        rows = qkv[at : at + span.count]
        keys[span.row, :, span.past : total] = rows[:, 1].transpose(0, 1)
        values[span.row, :, span.past : total] = rows[:, 2].transpose(0, 1)
        scores = torch.bmm(rows[:, 0].transpose(0, 1), keys[span.row, :, :total].transpose(-1, -2))
        if mask is not None:
            scores += mask
        out[at : at + span.count] = torch.bmm(scores.softmax(-1), values[span.row, :, :total]).transpose(0, 1)
        at += span.count
    return out.flatten(1)


class RaggedBatch:
    """Windows that are decoded together, one span of each row after the other."""

    def __init__(self, decoder: Decoder, slots: Sequence[DecodeSlot]) -> None:
        self._decoder = decoder
        self._slots = slots
        self._cache = decoder.cache(len(slots), max(slot.max_tokens for slot in slots))
        self._attention = [
            torch.empty(decoder.attention_heads, max(slot.max_tokens - slot.skip, 0), slot.encoding.frames)
            for slot in slots
        ]

    def forward(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Run the spans' tokens, one span after the other; return (tokens, width), normalised."""
        return self._decoder.forward(tokens, [self._row_span(span) for span in spans], self._cache)

    def choose_next(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Choice:
        """Run one token of each span, and choose the next."""
        return self._decoder.vocabulary.choose(self.forward(spans, tokens))

    def attention(self, row: int, count: int) -> Tensor:
        """Return the attention of the alignment heads from a row's first recorded token on, (heads, count, frames)."""
        return self._attention[row][:, :count]

    def _row_span(self, span: TokenSpan) -> RowSpan:
        slot = self._slots[span.row]
        return RowSpan(span.row, span.past, span.count, slot.encoding, self._attention[span.row], slot.skip)

"""Whisper's decoder over a ragged batch of rows, with a key-value cache that never moves.

A row's tokens are written where its length says, and a key is seen only by positions at or after it. What lies
beyond a row's length is therefore never read before it is overwritten: taking tokens back is lowering a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from whisper.model import ModelDimensions

from gpu_worker.model.blocks import Maker, State
from gpu_worker.model.columns import Encoding
from gpu_worker.model.linear import Precision, bucket
from gpu_worker.model.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive tokens of one row in one forward pass.

    Attributes:
        slot: the row's place in the cache.
        past: how many tokens of the row the cache holds.
        count: how many tokens are new.
        encoding: the row's audio.
        trace: (alignment heads, tokens, frames); where the row's attention to its audio is noted.
        skip: tokens of the row before the first that is noted.
    """

    slot: int
    past: int
    count: int
    encoding: Encoding
    trace: Tensor
    skip: int


class Cache:
    """Keys and values of all rows of one batch, (layers, rows, heads, tokens, width) each."""

    def __init__(self, shape: tuple[int, int, int, int, int], device: torch.device) -> None:
        self.keys = torch.empty(shape, device=device)
        self.values = torch.empty(shape, device=device)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row's tokens to another slot."""
        for held in (self.keys, self.values):
            held[:, target, :, :length] = held[:, source, :, :length]


class Decoder:
    """The text side of one model on one device."""

    def __init__(
        self,
        state: State,
        dims: ModelDimensions,
        precision: Precision,
        device: torch.device,
        *,
        vocabulary: Vocabulary,
        alignment_heads: Sequence[tuple[int, int]],
    ) -> None:
        self.vocabulary = vocabulary
        self.capacity: int = dims.n_text_ctx
        self.trace_heads = len(alignment_heads)
        self._device = device
        self._layers, self._heads = dims.n_text_layer, dims.n_text_head
        self._width = dims.n_text_state // dims.n_text_head
        maker = Maker(state, precision.decoder, device)
        self._blocks = maker.blocks("decoder", dims.n_text_layer, self._width)
        self._positions = maker.tensor("decoder.positional_embedding")
        self._norm = maker.norm("decoder.ln")
        # For each layer: which of its heads are noted, and from which row of a trace on.
        ordered = sorted(alignment_heads)
        self._noted: dict[int, tuple[list[int], int]] = {}
        for at, (layer, head) in enumerate(ordered):
            self._noted.setdefault(layer, ([], at))[0].append(head)

    def cache(self, rows: int, tokens: int) -> Cache:
        """Return room for ``rows`` of up to ``tokens`` each."""
        return Cache((self._layers, rows, self._heads, tokens, self._width), self._device)

    def forward(self, tokens: Sequence[int], spans: Sequence[Span], cache: Cache) -> Tensor:
        """Run new tokens of several rows, laid one after the other; answer (tokens, width), normalised."""
        positions = torch.cat([torch.arange(s.past, s.past + s.count) for s in spans]).to(self._device)
        x = self.vocabulary.embed(tokens) + self._positions[positions]
        x = F.pad(x, (0, 0, 0, bucket(len(tokens)) - len(tokens)))  # rows that no span has; nothing attends to them
        masks = [self._causal(s) for s in spans]
        for layer, block in enumerate(self._blocks):
            qkv = block.qkv(block.attention_norm(x)).float().view(len(x), 3, self._heads, self._width)
            x = x + block.out(self._attend_text(qkv, spans, masks, cache.keys[layer], cache.values[layer]))
            if block.cross is None:
                raise TypeError("a decoder block has no cross-attention")
            q = block.cross.query(block.cross.norm(x)).float().view(len(x), self._heads, self._width)
            x = x + block.cross.out(self._attend_audio(layer, q, spans))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return self._norm(x[: len(tokens)])

    def _causal(self, span: Span) -> Tensor | None:
        """Return what shuts later keys out from earlier tokens, (new tokens, all keys)."""
        if span.count == 1:
            return None
        total = span.past + span.count
        later = torch.ones(span.count, total, dtype=torch.bool, device=self._device).triu_(span.past + 1)
        return torch.zeros(span.count, total, device=self._device).masked_fill_(later, float("-inf"))

    def _attend_text(
        self, qkv: Tensor, spans: Sequence[Span], masks: Sequence[Tensor | None], keys: Tensor, values: Tensor
    ) -> Tensor:
        """Write the new keys and values, then attend to each row's own tokens."""
        at = 0
        out = torch.zeros_like(qkv[:, 0])
        for span, mask in zip(spans, masks, strict=True):
            total = span.past + span.count
            rows = qkv[at : at + span.count]
            keys[span.slot, :, span.past : total] = rows[:, 1].transpose(0, 1)
            values[span.slot, :, span.past : total] = rows[:, 2].transpose(0, 1)
            scores = torch.bmm(rows[:, 0].transpose(0, 1), keys[span.slot, :, :total].transpose(-1, -2))
            if mask is not None:
                scores += mask
            out[at : at + span.count] = torch.bmm(scores.softmax(-1), values[span.slot, :, :total]).transpose(0, 1)
            at += span.count
        return out.flatten(1)

    def _attend_audio(self, layer: int, q: Tensor, spans: Sequence[Span]) -> Tensor:
        """Attend to each row's audio, and note the attention of the alignment heads."""
        at = 0
        out = torch.zeros_like(q)
        for span in spans:
            heard = span.encoding
            scores = torch.bmm(q[at : at + span.count].transpose(0, 1).to(heard.keys.dtype), heard.keys[layer]).float()
            if heard.bias is not None:
                scores += heard.bias
            weights = scores.softmax(-1)
            if layer in self._noted:
                self._note(layer, weights, span)
            out[at : at + span.count] = torch.bmm(weights.to(heard.values.dtype), heard.values[layer]).transpose(0, 1)
            at += span.count
        return out.flatten(1)

    def _note(self, layer: int, weights: Tensor, span: Span) -> None:
        heads, row = self._noted[layer]
        first = max(span.skip - span.past, 0)  # the prompt and the marks before the text are not aligned
        place = span.past + first - span.skip
        frames = slice(span.encoding.first, span.encoding.first + span.encoding.frames)
        span.trace[row : row + len(heads), place : place + span.count - first] = weights[heads, first:, frames]

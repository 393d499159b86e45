"""The decoder on CUDA: all rows of a batch in one pass of a fixed shape.

A row's tokens are written where its length says, and a key is seen only by positions at or after it, as in
`cpu.decoder`. Rows are padded on the right: what a padding token writes lies beyond its row's length and is overwritten
before it can be seen. A pass over one token a row is recorded as a CUDA graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.cuda.shapes import batch_rows, round_up
from gpu_worker.model.nn.decoder_api import DecodeSlot, TokenSpan
from gpu_worker.model.nn.layers import TextLayers
from gpu_worker.model.nn.pinned_copy import to_device
from gpu_worker.model.nn.vocabulary import Choice, Vocabulary

_NEXT = "next"
_TOKENS = 64
_PASS = 16
_COLUMNS = 128
"""Token capacity, tokens of a pass and columns of audio are rounded up to these: few shapes are recorded."""


@dataclass(frozen=True, slots=True)
class BatchBuffers:
    """A batch's tensors on the device, at the same addresses for all batches of its shape.

    Attributes:
        keys: of the text, (layers, rows, heads, tokens, width), as are its ``values``.
        audio_keys: of the audio, (layers, rows, heads, columns, width), as are its ``audio_values``.
        bias: (rows, columns).
        attention: (rows, tokens, alignment heads, columns); the last token's place takes what is not recorded.
    """

    keys: Tensor
    values: Tensor
    audio_keys: Tensor
    audio_values: Tensor
    bias: Tensor
    attention: Tensor


class DenseDecoder:
    """The text side of one model on one device; it has one batch at a time."""

    def __init__(
        self, layers: TextLayers, vocabulary: Vocabulary, dtype: torch.dtype, device: torch.device, graphs: Graphs
    ) -> None:
        self.vocabulary = vocabulary
        self.capacity = len(layers.positions)
        self.device = device
        self._layers = layers
        self._dtype = dtype
        self._graphs = graphs
        self._memory: dict[str, Tensor] = {}
        # On the device from the start: a recorded pass cannot copy lists to it.
        self._alignment_heads = {
            layer: (torch.tensor(heads, device=device), slice(first, first + len(heads)))
            for layer, (heads, first) in layers.alignment_heads.items()
        }

    def begin(self, slots: Sequence[DecodeSlot]) -> "DenseBatch":
        """Begin a batch in the memory of the one before it."""
        rows = batch_rows(len(slots))
        tokens = round_up(max(round_up(slot.max_tokens, _PASS) for slot in slots), _TOKENS)
        columns = round_up(max(slot.encoding.values.shape[2] for slot in slots), _COLUMNS)
        buffers = self._cleared_buffers(rows, tokens, columns)
        for row, slot in enumerate(slots):
            encoding = slot.encoding
            count = encoding.values.shape[2]
            buffers.audio_keys[:, row, :, :count] = encoding.keys.transpose(-1, -2)
            buffers.audio_values[:, row, :, :count] = encoding.values
            buffers.bias[row, :count] = 0.0 if encoding.bias is None else encoding.bias
        buffers.bias[len(slots) :, 0] = 0.0  # padding rows must attend to a column: a softmax over none is NaN
        return DenseBatch(self, slots, buffers)

    def _cleared_buffers(self, rows: int, tokens: int, columns: int) -> BatchBuffers:
        """Return the tensors of a shape, cleared: an earlier batch may have left NaN."""
        layers, heads, width = self._layers.shape
        text, audio = (layers, rows, heads, tokens, width), (layers, rows, heads, columns, width)
        return BatchBuffers(
            keys=self._allocate("keys", text, self._dtype).zero_(),
            values=self._allocate("values", text, self._dtype).zero_(),
            audio_keys=self._allocate("audio_keys", audio, self._dtype).zero_(),
            audio_values=self._allocate("audio_values", audio, self._dtype).zero_(),
            bias=self._allocate("bias", (rows, columns), torch.float32).fill_(float("-inf")),
            attention=self._allocate(
                "attention", (rows, tokens + 1, self._layers.attention_heads, columns), torch.float32
            ),
        )

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return memory that begins at the same address each time, unless it had to grow."""
        size = prod(shape)
        if name not in self._memory or len(self._memory[name]) < size:
            self._graphs.forget(_NEXT)  # they use the old address
            self._memory.pop(name, None)
            self._memory[name] = torch.empty(size, dtype=dtype, device=self.device)
        return self._memory[name][:size].view(shape)

    def run(self, buffers: BatchBuffers, tokens: Tensor, past: Tensor, recorded_at: Tensor) -> Tensor:
        """Run (rows, n) tokens, each row's after its ``past``; return (rows, n, width), normalised.

        Args:
            buffers: the batch's memory.
            tokens: padded on the right.
            past: (rows,), how many earlier tokens of each row stand.
            recorded_at: (rows, n), each token's place in the recorded attention.
        """
        rows = torch.arange(len(tokens), device=self.device)[:, None]
        places = past[:, None] + torch.arange(tokens.shape[1], device=self.device)
        heads = torch.arange(self._layers.shape[1], device=self.device)
        written = (rows[..., None], heads, places[..., None])
        seen = torch.arange(buffers.keys.shape[3], device=self.device) <= places[:, None, :, None]
        mask = buffers.bias.to(self._dtype)[:, None, None].expand(-1, -1, tokens.shape[1], -1)
        x = self.vocabulary.embedded(tokens) + self._layers.positions[places.clamp(max=self.capacity - 1)]
        for layer, block in enumerate(self._layers.blocks):
            q, k, v = self._split_heads(block.qkv(block.attention_norm(x)), 3)
            keys, values = buffers.keys[layer], buffers.values[layer]
            keys.index_put_(written, k)
            values.index_put_(written, v)
            x = x + block.out(_attend(q, keys, values, seen))
            [q] = self._split_heads(block.crossing.query(block.crossing.norm(x)), 1)
            x = x + block.crossing.out(_attend(q, buffers.audio_keys[layer], buffers.audio_values[layer], mask))
            if layer in self._alignment_heads:
                self._record_attention(layer, q, buffers, (rows, recorded_at))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return self._layers.norm(x)

    def _record_attention(self, layer: int, q: Tensor, buffers: BatchBuffers, places: tuple[Tensor, Tensor]) -> None:
        """Record the attention of a layer's alignment heads to the audio."""
        heads, target = self._alignment_heads[layer]
        logits = q[:, :, heads].transpose(1, 2) @ buffers.audio_keys[layer][:, heads].transpose(-1, -2)
        shares = (logits.float() + buffers.bias[:, None, None]).softmax(-1)
        buffers.attention[:, :, target].index_put_(places, shares.transpose(1, 2))

    def _split_heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Split (rows, n, …) into ``parts`` of (rows, n, heads, width)."""
        _, heads, width = self._layers.shape
        return x.to(self._dtype).view(*x.shape[:2], parts, heads, width).unbind(2)

    def score_next(self, buffers: BatchBuffers, inputs: Tensor) -> Tensor:
        """Run one token a row and score what follows: `Vocabulary.score` of all rows.

        Args:
            buffers: the batch's memory.
            inputs: (3, rows): the token, how many stand before it, its place in the recorded attention.
        """

        def work(values: Tensor) -> Tensor:
            hidden = self.run(buffers, values[0][:, None], values[1], values[2][:, None])
            return self.vocabulary.score(hidden[:, 0])

        return self._graphs.run((_NEXT, (buffers.keys.shape, buffers.bias.shape)), work, (inputs,))


def _attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attend from (rows, n, heads, width) to (rows, heads, all, width); return (rows, n, heads · width)."""
    found = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values, attn_mask=mask, scale=1.0)
    return found.transpose(1, 2).flatten(2)


class DenseBatch:
    """Windows that are decoded together, each a row of every pass."""

    def __init__(self, decoder: DenseDecoder, slots: Sequence[DecodeSlot], buffers: BatchBuffers) -> None:
        self._decoder = decoder
        self._slots = slots
        self._buffers = buffers
        self._nowhere = buffers.attention.shape[1] - 1

    def forward(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Run the spans' tokens, one span after the other; return (tokens, width), normalised."""
        rows = self._buffers.attention.shape[0]
        length = round_up(max(span.count for span in spans), _PASS)
        inputs = np.zeros((rows, length), dtype=np.int64)
        past = np.zeros(rows, dtype=np.int64)
        recorded_at = np.full((rows, length), self._nowhere)
        picked: list[NDArray[np.int64]] = []
        at = 0
        for span in spans:
            inputs[span.row, : span.count] = tokens[at : at + span.count]
            past[span.row] = span.past
            recorded_at[span.row, : span.count] = self._places(span)
            picked.append(span.row * length + np.arange(span.count))
            at += span.count
        device = self._decoder.device
        hidden = self._decoder.run(
            self._buffers, to_device(inputs, device), to_device(past, device), to_device(recorded_at, device)
        )
        return hidden.flatten(0, 1)[to_device(np.concatenate(picked), device)]

    def choose_next(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Choice:
        """Run one token of each span, and choose the next."""
        # A row that has ended writes over its own beginning, which is not read any more.
        inputs = np.zeros((3, self._buffers.attention.shape[0]), dtype=np.int64)
        inputs[2] = self._nowhere
        for span, token in zip(spans, tokens, strict=True):
            inputs[:, span.row] = token, span.past, self._places(span)[0]
        scored = self._decoder.score_next(self._buffers, to_device(inputs, self._decoder.device)).cpu()
        chosen = scored[:, [span.row for span in spans]]
        return Choice([int(token) for token in chosen[0].tolist()], chosen[1].tolist(), chosen[2])

    def attention(self, row: int, count: int) -> Tensor:
        """Return the attention of the alignment heads from a row's first recorded token on, (heads, count, frames)."""
        encoding = self._slots[row].encoding
        # Copied: the next batch is written to the same place.
        frames = slice(encoding.first, encoding.first + encoding.frames)
        return self._buffers.attention[row, :count, :, frames].transpose(0, 1).clone()

    def _places(self, span: TokenSpan) -> NDArray[np.int64]:
        """Return each token's place in the recorded attention; the prompt and the marks before the text have none."""
        places = span.past - self._slots[span.row].skip + np.arange(span.count)
        return np.where(places < 0, self._nowhere, places)

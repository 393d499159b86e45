"""The decoder on CUDA: all rows of a batch in one pass of a fixed shape.

A row's tokens are written where its length says, and a key is seen only by positions at or after it, as in
`decoder`. Rows are padded on the right: what a padding token writes lies beyond its row's length and is overwritten
before it can be seen. A pass over one token a row is recorded and started as one.
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
from gpu_worker.model.cuda.shapes import batch_rows, up
from gpu_worker.model.nn.decoder_api import DecodeSlot, TokenSpan
from gpu_worker.model.nn.layers import TextLayers
from gpu_worker.model.nn.pinned_copy import staged
from gpu_worker.model.nn.vocabulary import Choice, Vocabulary

_NEXT = "next"
_TOKENS = 64
_PASS = 16
_COLUMNS = 128
"""Room for tokens, the length of a pass, and columns of audio are multiples of these: few shapes occur."""


@dataclass(frozen=True, slots=True)
class BatchBuffers:
    """What a batch holds on the device, at the same addresses for all batches of its shape.

    Attributes:
        keys: of the text, (layers, rows, heads, tokens, width), as are its ``values``.
        audio_keys: of the audio, (layers, rows, heads, columns, width), as are its ``audio_values``.
        bias: (rows, columns).
        trace: (rows, tokens, alignment heads, columns); the last token's place takes what is not recorded.
    """

    keys: Tensor
    values: Tensor
    audio_keys: Tensor
    audio_values: Tensor
    bias: Tensor
    trace: Tensor


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
        # On the device from the start: a recorded pass cannot take lists there.
        self._noted = {
            layer: (torch.tensor(heads, device=device), slice(first, first + len(heads)))
            for layer, (heads, first) in layers.alignment_heads.items()
        }

    def begin(self, sheets: Sequence[DecodeSlot]) -> "DenseBatch":
        """Begin a batch; the one before it is over."""
        rows = batch_rows(len(sheets))
        tokens = up(max(up(sheet.room, _PASS) for sheet in sheets), _TOKENS)
        columns = up(max(sheet.encoding.values.shape[2] for sheet in sheets), _COLUMNS)
        held = self._hold(rows, tokens, columns)
        for row, sheet in enumerate(sheets):
            encoding = sheet.encoding
            count = encoding.values.shape[2]
            held.audio_keys[:, row, :, :count] = encoding.keys.transpose(-1, -2)
            held.audio_values[:, row, :, :count] = encoding.values
            held.bias[row, :count] = 0.0 if encoding.bias is None else encoding.bias
        held.bias[len(sheets) :, 0] = 0.0  # a row that no window has attends to nothing, but to something
        return DenseBatch(self, sheets, held)

    def _hold(self, rows: int, tokens: int, columns: int) -> BatchBuffers:
        """Return memory for a shape, cleared: what an earlier batch has left may be NaN."""
        layers, heads, width = self._layers.shape
        text, audio = (layers, rows, heads, tokens, width), (layers, rows, heads, columns, width)
        return BatchBuffers(
            keys=self._room("keys", text, self._dtype).zero_(),
            values=self._room("values", text, self._dtype).zero_(),
            audio_keys=self._room("audio_keys", audio, self._dtype).zero_(),
            audio_values=self._room("audio_values", audio, self._dtype).zero_(),
            bias=self._room("bias", (rows, columns), torch.float32).fill_(float("-inf")),
            trace=self._room("trace", (rows, tokens + 1, self._layers.attention_heads, columns), torch.float32),
        )

    def _room(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return memory that begins at the same address each time, unless it had to grow."""
        size = prod(shape)
        if name not in self._memory or len(self._memory[name]) < size:
            self._graphs.forget(_NEXT)  # they know the old address
            self._memory.pop(name, None)
            self._memory[name] = torch.empty(size, dtype=dtype, device=self.device)
        return self._memory[name][:size].view(shape)

    def run(self, held: BatchBuffers, tokens: Tensor, past: Tensor, noted: Tensor) -> Tensor:
        """Run (rows, n) tokens, each row's after its ``past``; return (rows, n, width), normalised.

        Args:
            held: the batch's memory.
            tokens: padded on the right.
            past: (rows,), how many tokens of each row hold good.
            noted: (rows, n), each token's place in the trace.
        """
        rows = torch.arange(len(tokens), device=self.device)[:, None]
        places = past[:, None] + torch.arange(tokens.shape[1], device=self.device)
        heads = torch.arange(self._layers.shape[1], device=self.device)
        written = (rows[..., None], heads, places[..., None])
        seen = torch.arange(held.keys.shape[3], device=self.device) <= places[:, None, :, None]
        mask = held.bias.to(self._dtype)[:, None, None].expand(-1, -1, tokens.shape[1], -1)
        x = self.vocabulary.embedded(tokens) + self._layers.positions[places.clamp(max=self.capacity - 1)]
        for layer, block in enumerate(self._layers.blocks):
            q, k, v = self._parted(block.qkv(block.attention_norm(x)), 3)
            keys, values = held.keys[layer], held.values[layer]
            keys.index_put_(written, k)
            values.index_put_(written, v)
            x = x + block.out(_attend(q, keys, values, seen))
            [q] = self._parted(block.crossing.query(block.crossing.norm(x)), 1)
            x = x + block.crossing.out(_attend(q, held.audio_keys[layer], held.audio_values[layer], mask))
            if layer in self._noted:
                self._note(layer, q, held, (rows, noted))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return self._layers.norm(x)

    def _note(self, layer: int, q: Tensor, held: BatchBuffers, places: tuple[Tensor, Tensor]) -> None:
        """Record the attention of a layer's alignment heads to the audio."""
        heads, target = self._noted[layer]
        logits = q[:, :, heads].transpose(1, 2) @ held.audio_keys[layer][:, heads].transpose(-1, -2)
        shares = (logits.float() + held.bias[:, None, None]).softmax(-1)
        held.trace[:, :, target].index_put_(places, shares.transpose(1, 2))

    def _parted(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Split (rows, n, …) into ``parts`` of (rows, n, heads, width)."""
        _, heads, width = self._layers.shape
        return x.to(self._dtype).view(*x.shape[:2], parts, heads, width).unbind(2)

    def score_next(self, held: BatchBuffers, inputs: Tensor) -> Tensor:
        """Run one token a row and score what follows: `Vocabulary.score` of all rows.

        Args:
            held: the batch's memory.
            inputs: (3, rows): the token, how many hold good before it, its place in the trace.
        """

        def work(values: Tensor) -> Tensor:
            hidden = self.run(held, values[0][:, None], values[1], values[2][:, None])
            return self.vocabulary.score(hidden[:, 0])

        return self._graphs.run((_NEXT, (held.keys.shape, held.bias.shape)), work, (inputs,))


def _attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attend from (rows, n, heads, width) to (rows, heads, all, width); return (rows, n, heads · width)."""
    found = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values, attn_mask=mask, scale=1.0)
    return found.transpose(1, 2).flatten(2)


class DenseBatch:
    """Windows that are decoded together, each a row of every pass."""

    def __init__(self, decoder: DenseDecoder, sheets: Sequence[DecodeSlot], held: BatchBuffers) -> None:
        self._decoder = decoder
        self._sheets = sheets
        self._held = held
        self._nowhere = held.trace.shape[1] - 1

    def forward(self, parts: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Run the parts' tokens, laid one after the other; return (tokens, width), normalised."""
        rows = self._held.trace.shape[0]
        length = up(max(part.count for part in parts), _PASS)
        inputs = np.zeros((rows, length), dtype=np.int64)
        past = np.zeros(rows, dtype=np.int64)
        noted = np.full((rows, length), self._nowhere)
        picked: list[NDArray[np.int64]] = []
        at = 0
        for part in parts:
            inputs[part.row, : part.count] = tokens[at : at + part.count]
            past[part.row] = part.past
            noted[part.row, : part.count] = self._places(part)
            picked.append(part.row * length + np.arange(part.count))
            at += part.count
        device = self._decoder.device
        hidden = self._decoder.run(self._held, staged(inputs, device), staged(past, device), staged(noted, device))
        return hidden.flatten(0, 1)[staged(np.concatenate(picked), device)]

    def choose_next(self, parts: Sequence[TokenSpan], tokens: Sequence[int]) -> Choice:
        """Run one token of each part, and choose what follows it."""
        # A row that has ended writes over its own beginning, which is not read any more.
        inputs = np.zeros((3, self._held.trace.shape[0]), dtype=np.int64)
        inputs[2] = self._nowhere
        for part, token in zip(parts, tokens, strict=True):
            inputs[:, part.row] = token, part.past, self._places(part)[0]
        scored = self._decoder.score_next(self._held, staged(inputs, self._decoder.device)).cpu()
        chosen = scored[:, [part.row for part in parts]]
        return Choice([int(token) for token in chosen[0].tolist()], chosen[1].tolist(), chosen[2])

    def attention(self, row: int, count: int) -> Tensor:
        """Return the attention of the alignment heads from a row's first recorded token on, (heads, count, frames)."""
        encoding = self._sheets[row].encoding
        # Copied: the next batch is written to the same place.
        frames = slice(encoding.first, encoding.first + encoding.frames)
        return self._held.trace[row, :count, :, frames].transpose(0, 1).clone()

    def _places(self, part: TokenSpan) -> NDArray[np.int64]:
        """Return the place of each token in the trace; the prompt and the marks before the text are not aligned."""
        places = part.past - self._sheets[part.row].skip + np.arange(part.count)
        return np.where(places < 0, self._nowhere, places)

"""The encoder's layers on a CPU, for new rows only, in chunks of `CHUNK` rows.

Rows go through a layer in chunks that stay in the processor's cache. Chunks have few sizes, since oneDNN builds and
keeps code (half a megabyte and a millisecond) for every new shape of a product. Attention is plain products: on the
CPU over twice as fast as torch's fused kernel (2.1 against 4.9 ms a layer of tiny.en at 472 columns).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.nn.blocks import Block, Norm
from gpu_worker.model.nn.linear import CHUNK, Linear

ROUND = 32
"""Counts of rows and columns are rounded up to multiples of this."""


def rounded(count: int) -> int:
    """Return a count rounded up to a multiple of `ROUND`."""
    return -(-count // ROUND) * ROUND


@dataclass(frozen=True, slots=True)
class KvCache:
    """Keys and values of a window, by column.

    Attributes:
        origin: the column that comes first in it.
        keys: of the encoder, (layers, heads, columns, width), as are its ``values``.
        cross_keys: for the decoder, (layers, heads, width, columns), in fp32.
        cross_values: (layers, heads, columns, width), in fp32.
    """

    origin: int
    keys: Tensor
    values: Tensor
    cross_keys: Tensor
    cross_values: Tensor

    @classmethod
    def new(
        cls, origin: int, columns: int, encoder: tuple[int, int, int], decoder: tuple[int, int, int], dtype: torch.dtype
    ) -> "KvCache":
        """Allocate columns; ``encoder`` and ``decoder`` are their (layers, heads, width).

        Zeroed, since masked columns are read all the same, and a NaN would come through the mask.
        """
        allocated = rounded(columns) + CHUNK
        layers, heads, width = encoder
        text_layers, text_heads, text_width = decoder
        return cls(
            origin,
            torch.zeros(layers, heads, allocated, width, dtype=dtype),
            torch.zeros(layers, heads, allocated, width, dtype=dtype),
            torch.empty(text_layers, text_heads, text_width, allocated),
            torch.empty(text_layers, text_heads, allocated, text_width),
        )


@dataclass(frozen=True, slots=True)
class AttentionSpan:
    """The columns that are computed, and those that are attended to.

    ``bias`` is for all columns in use, rounded up; it masks those beyond ``end``.
    """

    begin: int
    new: int
    end: int
    bias: Tensor

    @classmethod
    def of(cls, begin: int, new: int, end: int, bias: Tensor | None) -> "AttentionSpan":
        """Compute columns from ``new`` on, attending from ``begin`` on, up to ``end``."""
        whole = torch.full((rounded(end - begin),), float("-inf"))
        whole[: end - begin] = 0.0 if bias is None else bias
        return cls(begin, new, end, whole)


def transform(x: Tensor, blocks: Sequence[Block], kv_cache: KvCache, span: AttentionSpan) -> Tensor:
    """Run rows of new columns through all layers and record their keys and values; sums stay in fp32.

    Args:
        x: (columns, width).
        blocks: the encoder's layers.
        kv_cache: where keys and values of columns that are not computed now are found.
        span: which columns ``x`` is, and which it attends to.
    """
    x = F.pad(x, (0, 0, 0, rounded(len(x)) - len(x)))
    at = span.new - kv_cache.origin
    seen = slice(span.begin - kv_cache.origin, span.begin - kv_cache.origin + len(span.bias))
    bias = span.bias.to(kv_cache.keys.dtype)
    for block, keys, values in zip(blocks, kv_cache.keys, kv_cache.values, strict=True):
        heads, _, width = keys.shape
        queries = []
        for part in _parts(len(x)):
            qkv = block.qkv(block.attention_norm(x[part])).view(-1, 3, heads, width).permute(1, 2, 0, 3)
            queries.append(qkv[0])
            keys[:, at + part.start : at + part.stop] = qkv[1]
            values[:, at + part.start : at + part.stop] = qkv[2]
        columns = keys[:, seen].transpose(-1, -2).contiguous()  # copied once, not by every product
        for part, q in zip(_parts(len(x)), queries, strict=True):
            rows = x[part]
            # The bias goes in with the product, a pass fewer over the logits; the softmax sums in fp32 in any type.
            logits = torch.baddbmm(bias.expand(heads, len(rows), -1), q, columns)
            attended = torch.bmm(logits.softmax(-1), values[:, seen]).transpose(0, 1).reshape(len(rows), heads * width)
            rows += block.out(attended)
            rows += block.down(block.up(block.mlp_norm(rows)))
    return x[: span.end - span.new]


def cross(x: Tensor, norm: Norm, project: Linear, kv_cache: KvCache, new: int) -> None:
    """Record the keys and values that the decoder will attend to, of columns from ``new`` on."""
    layers, heads, _, width = kv_cache.cross_values.shape
    x = F.pad(x, (0, 0, 0, rounded(len(x)) - len(x)))
    at = new - kv_cache.origin
    for part in _parts(len(x)):
        keys_values = project(norm(x[part])).view(-1, layers, 2, heads, width)
        columns = slice(at + part.start, at + part.stop)
        kv_cache.cross_keys[..., columns] = keys_values[:, :, 0].permute(1, 2, 3, 0)
        kv_cache.cross_values[..., columns, :] = keys_values[:, :, 1].permute(1, 2, 0, 3)


def _parts(count: int) -> Iterator[slice]:
    for at in range(0, count, CHUNK):
        yield slice(at, min(at + CHUNK, count))

"""The encoder on CUDA: windows of a step in a few batches of fixed shapes.

A column is a frame of the convolution at a position, with a weight: a window's frames come first, each at its own
position, then one for each group of silence, all the same silent frame at the middle of the group. So a batch is laid
out by tables of indices, whatever the lengths of its windows, and nothing waits for a value on the device.

What was encoded a step ago is not kept here: keys and values of every layer are 150 MB a stream for large-v3-turbo.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.blocks import Block
from gpu_worker.model.columns import EDGE, FLOOR, RANGE, EncoderSettings, Encoding, Layout
from gpu_worker.model.graphs import Graphs
from gpu_worker.model.layers import AudioLayers
from gpu_worker.model.shapes import EncoderShape, batch_rows, parted
from gpu_worker.model.staging import staged

_RECORDED = 4096
"""Columns of a batch up to which starting its kernels may take longer than running them."""


class DenseEncoder:
    """The audio side of one model on one device, all windows of a step together."""

    def __init__(self, layers: AudioLayers, device: torch.device, settings: EncoderSettings, graphs: Graphs) -> None:
        self.capacity = len(layers.positions)
        self._layers = layers
        self._device = device
        self._settings = settings
        self._graphs = graphs

    def encode(self, windows: Sequence[Tensor], *, full: bool = False) -> list[Encoding]:
        """Encode raw mel windows of shape (n_mels, 2 for each frame), none empty; ``full`` compacts nothing."""
        layouts = [Layout.of(w.shape[1] // 2, self.capacity, self._settings, full=full) for w in windows]
        found: dict[int, Encoding] = {}
        for part in parted([layout.end - layout.begin for layout in layouts]):
            encodings = self._encode([windows[i] for i in part], [layouts[i] for i in part])
            found.update(zip(part, encodings, strict=True))
        return [found[i] for i in range(len(windows))]

    def _encode(self, windows: Sequence[Tensor], layouts: Sequence[Layout]) -> list[Encoding]:
        kept = max(layout.kept for layout in layouts)
        shape = EncoderShape.of(kept, self._settings.group, EDGE, self.capacity)
        rows = batch_rows(len(windows))
        mel = torch.zeros(rows, windows[0].shape[0], 2 * shape.frames, device=self._device)
        for row, window in zip(mel, windows, strict=False):
            row[:, : window.shape[1]] = window
        frames = np.ones(rows, dtype=np.int64)  # rows that no window has hear one frame of nothing
        frames[: len(windows)] = [layout.frames for layout in layouts]
        places, biases = self._tables(layouts, rows, shape)
        bias = staged(biases, self._device)
        inputs = (mel, staged(frames, self._device), staged(places, self._device), bias)
        if rows * shape.columns <= _RECORDED:
            made = self._graphs.run(("encode", (mel.shape, shape.columns)), self._run, inputs).clone()
        else:
            made = self._run(*inputs)
        return [_cut(made[:, :, i], bias[i], layout, compact=layout.compact) for i, layout in enumerate(layouts)]

    def _tables(self, layouts: Sequence[Layout], rows: int, shape: EncoderShape) -> tuple[np.ndarray, np.ndarray]:
        """Return each column's frame of the convolution and its position, (2, rows, columns), and its bias."""
        places = np.zeros((2, rows, shape.columns), dtype=np.int64)
        biases = np.full((rows, shape.columns), -np.inf, dtype=np.float32)
        biases[len(layouts) :, 0] = 0.0
        for i, layout in enumerate(layouts):
            places[:, i, : layout.kept] = np.arange(layout.kept)
            biases[i, : layout.kept] = 0.0
            if layout.compact:
                middles, sizes = layout.silent_positions(self.capacity)
                silent = slice(layout.kept, layout.kept + len(middles))
                places[0, i, silent] = layout.frames + EDGE
                places[1, i, silent] = middles.numpy()
                biases[i, silent] = sizes.float().log().numpy()
        return places, biases

    def _run(self, mel: Tensor, frames: Tensor, places: Tensor, bias: Tensor) -> Tensor:
        """Encode a batch; answer the decoder's keys and values, (2, layers, windows, heads, columns, width)."""
        layers, heads, width = self._layers.text_shape
        x = self._layers.convolve(self._scaled(mel, frames))
        x = x.gather(1, places[0][..., None].expand(-1, -1, x.shape[2])) + self._layers.positions[places[1]]
        mask = bias.to(self._layers.dtype)[:, None, None].expand(-1, -1, x.shape[1], -1)
        for block in self._layers.blocks:
            x = x + block.out(self._attend(block, x, mask))
            x = x + block.down(block.up(block.mlp_norm(x)))
        noted = self._layers.cross(self._layers.norm(x)).view(*x.shape[:2], layers, 2, heads, width)
        return noted.permute(3, 2, 0, 4, 1, 5).contiguous()

    def _scaled(self, mel: Tensor, frames: Tensor) -> Tensor:
        """Scale each window as `Level` does, and fill what is behind it with its silence."""
        own = (torch.arange(mel.shape[2], device=mel.device) < 2 * frames[:, None])[:, None]
        loudest = mel.masked_fill(~own, FLOOR).amax((1, 2), keepdim=True)
        lift = (self._settings.loudest - loudest).clamp(0.0, self._settings.gain)
        floor = (loudest + lift - RANGE).clamp(min=FLOOR)
        return (torch.where(own, torch.maximum(mel + lift, floor), floor) + 4.0) / 4.0

    def _attend(self, block: Block, x: Tensor, mask: Tensor) -> Tensor:
        windows, count, width = x.shape
        qkv = block.qkv(block.attention_norm(x)).view(windows, count, 3, self._layers.shape[1], -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        return heard.transpose(1, 2).reshape(windows, count, width)


def _cut(made: Tensor, bias: Tensor, layout: Layout, *, compact: bool) -> Encoding:
    """Return one window's share of a batch: (2, layers, heads, columns, width)."""
    keys, values = made[..., : layout.end - layout.begin, :]
    own = bias[: layout.end - layout.begin] if compact else None
    return Encoding(keys.transpose(-1, -2), values, own, 0, layout.frames)

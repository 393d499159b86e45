"""The encoder on CUDA: the columns of all windows of a step in one pass.

A column is a frame of the convolution at a position, with a weight: a window's frames come first, each at its own
position, then one for each group of silence, all the same silent frame at the middle of the group. So a pass is laid
out by tables of indices, whatever the lengths of its windows, and nothing waits for a value on the device. Columns lie
one after another: products go over all of them at once, and only attention goes window by window, those of like
lengths together.

Frames are not reused from step to step here: keys and values of every layer are 150 MB a stream for large-v3-turbo.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.cuda.shapes import EncoderShape, Packing, batch_rows, split_into_passes
from gpu_worker.model.nn.blocks import Block
from gpu_worker.model.nn.compaction import EDGE, FLOOR, RANGE, EncoderSettings, Encoding, Layout
from gpu_worker.model.nn.layers import AudioLayers
from gpu_worker.model.nn.pinned_copy import to_device

_RECORDED = 4096
"""Columns of a pass up to which starting its kernels may take longer than running them."""


class DenseEncoder:
    """The encoder of one model on CUDA, all windows of a step together."""

    def __init__(self, layers: AudioLayers, device: torch.device, settings: EncoderSettings, graphs: Graphs) -> None:
        self.capacity = len(layers.positions)
        self._layers = layers
        self._device = device
        self._settings = settings
        self._graphs = graphs

    def encode(self, windows: Sequence[Tensor], *, full: bool = False) -> list[Encoding]:
        """Encode raw mel windows of shape (n_mels, 2 for each frame), none empty; ``full`` compacts nothing."""
        layouts = [Layout.of(w.shape[1] // 2, self.capacity, self._settings, full=full) for w in windows]
        lengths = [layout.end - layout.begin for layout in layouts]
        found: dict[int, Encoding] = {}
        for parts in split_into_passes(lengths):
            order = [i for part in parts for i in part]
            tight = Packing.tight([[lengths[i] for i in part] for part in parts])
            made = self._encode([windows[i] for i in order], [layouts[i] for i in order], tight)
            found.update(zip(order, made, strict=True))
        return [found[i] for i in range(len(windows))]

    def _encode(self, windows: Sequence[Tensor], layouts: Sequence[Layout], tight: Packing) -> list[Encoding]:
        """Encode windows in one pass: a small one in one of few shapes and recorded, others packed tightly."""
        # Convolutions are a hundredth of the work, and cuDNN prepares them for each shape: they are always padded.
        rows = batch_rows(len(windows))
        shape = EncoderShape.of(max(layout.kept for layout in layouts), self._settings.group, EDGE, self.capacity)
        mel = torch.zeros(rows, windows[0].shape[0], 2 * shape.frames, device=self._device)
        for row, window in zip(mel, windows, strict=False):
            row[:, : window.shape[1]] = window
        frames = np.ones(rows, dtype=np.int64)  # padding rows have one frame, of zeros
        frames[: len(windows)] = [layout.frames for layout in layouts]
        recorded = rows * shape.columns <= _RECORDED
        packing = Packing(((rows, shape.columns),)) if recorded else tight
        places, biases = self._tables(layouts, packing, shape.frames)
        bias = to_device(biases, self._device)
        inputs = (mel, to_device(frames, self._device), to_device(places, self._device), bias)
        work = partial(self._run, packing=packing)
        made = self._graphs.run(("encode", (mel.shape, packing)), work, inputs).clone() if recorded else work(*inputs)
        return [_cut(made[at:], bias[at:], layout) for at, layout in zip(packing.starts(), layouts, strict=False)]

    def _tables(self, layouts: Sequence[Layout], packing: Packing, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each column's frame among ``frames`` of each window and its position, (2, columns), and its bias."""
        places = np.zeros((2, packing.columns), dtype=np.int64)
        biases = np.full(packing.columns, -np.inf, dtype=np.float32)
        starts = packing.starts()
        biases[starts] = 0.0  # padding rows must attend to a column: a softmax over none is NaN
        for row, (at, layout) in enumerate(zip(starts, layouts, strict=False)):
            end = at + layout.kept
            places[0, at:end] = row * frames + np.arange(layout.kept)
            places[1, at:end] = np.arange(layout.kept)
            biases[at:end] = 0.0
            if layout.compact:
                middles, sizes = layout.silent_positions(self.capacity)
                silent = slice(end, end + len(middles))
                places[0, silent] = row * frames + layout.frames + EDGE
                places[1, silent] = middles.numpy()
                biases[silent] = sizes.float().log().numpy()
        return places, biases

    def _run(self, mel: Tensor, frames: Tensor, places: Tensor, bias: Tensor, *, packing: Packing) -> Tensor:
        """Encode a pass; return the decoder's keys and values, (columns, layers, 2, heads, width)."""
        layers, heads, width = self._layers.text_shape
        x = self._layers.convolve(self._scaled(mel, frames)).flatten(0, 1)
        x = x[places[0]] + self._layers.positions[places[1]]
        masks = _masks(bias.to(self._layers.dtype), packing)
        for block in self._layers.blocks:
            x = x + block.out(self._attend(block, x, masks))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return self._layers.cross(self._layers.norm(x)).view(len(x), layers, 2, heads, width)

    def _scaled(self, mel: Tensor, frames: Tensor) -> Tensor:
        """Scale each window as `Level` does, and fill the rest with its silence."""
        own = (torch.arange(mel.shape[2], device=mel.device) < 2 * frames[:, None])[:, None]
        loudest = mel.masked_fill(~own, FLOOR).amax((1, 2), keepdim=True)
        lift = (self._settings.loudest - loudest).clamp(0.0, self._settings.gain)
        floor = (loudest + lift - RANGE).clamp(min=FLOOR)
        return (torch.where(own, torch.maximum(mel + lift, floor), floor) + 4.0) / 4.0

    def _attend(self, block: Block, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Attend from each column to those of its window."""
        qkv = block.qkv(block.attention_norm(x))
        attended: list[Tensor] = []
        at = 0
        for mask in masks:
            windows, _, columns, _ = mask.shape
            own = qkv[at : at + windows * columns].view(windows, columns, 3, self._layers.shape[1], -1)
            q, k, v = own.permute(2, 0, 3, 1, 4)
            part = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
            attended.append(part.transpose(1, 2).reshape(windows * columns, -1))
            at += windows * columns
        return torch.cat(attended)


def _masks(bias: Tensor, packing: Packing) -> list[Tensor]:
    """Return what is added to the attention logits of each part, (windows, 1, columns, columns)."""
    parts = torch.split(bias, [windows * columns for windows, columns in packing.parts])
    return [
        part.view(windows, 1, 1, columns).expand(-1, -1, columns, -1)
        for part, (windows, columns) in zip(parts, packing.parts, strict=True)
    ]


def _cut(made: Tensor, bias: Tensor, layout: Layout) -> Encoding:
    """Return the first window of a pass's columns."""
    columns = layout.end - layout.begin
    keys, values = made[:columns].unbind(2)
    own = bias[:columns] if layout.compact else None
    return Encoding(keys.permute(1, 2, 3, 0), values.permute(1, 2, 0, 3), own, 0, layout.frames)

"""Whisper's encoder over real audio only: the silence that would fill the 30 s is a few heavy keys.

Whisper pads every window to 30 s and pays for all of it; cut off, the padding's attention mass is missed and the
decoder loops. So the mass is kept and the work dropped: one key stands for a group of silent frames, and the
logarithm of the group's size is added to its attention logits, in every encoder layer and in the decoder's
cross-attention. The softmax then weighs it as so many equal keys. Measured in engine.md: the same word error rate
for a sixth of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from whisper.model import ModelDimensions

from gpu_worker.model.blocks import Block, Maker, State
from gpu_worker.model.chunks import Memory, Reach, cross, rounded, transform
from gpu_worker.model.columns import EncoderSettings, Encoding, Layout, Level
from gpu_worker.model.linear import Precision, dtype_of

_EDGE = 4
"""Silent frames convolved after the audio, so that its last frames see what they would in the padded window."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a stream's last window: it serves the next one if that begins at the same ``start``.

    ``whole`` is how many frames there were when all of them were computed last.
    """

    start: int
    frames: int
    whole: int
    level: Level
    memory: Memory


class Encoder:
    """The audio side of one model on one device.

    ``batched`` encodes all windows of a step as one, as a GPU needs it; on a CPU one after another is as fast, pads
    nothing, and can keep what it encoded a step ago.
    """

    def __init__(
        self,
        state: State,
        dims: ModelDimensions,
        precision: Precision,
        device: torch.device,
        *,
        settings: EncoderSettings,
        batched: bool,
    ) -> None:
        self.capacity: int = dims.n_audio_ctx
        self.keeps = settings.keep and not batched
        self._batched = batched
        self._settings = settings
        self._device = device
        self._dtype = dtype_of(precision.encoder)
        width, text_width = dims.n_audio_state // dims.n_audio_head, dims.n_text_state // dims.n_text_head
        self._shape = dims.n_audio_layer, dims.n_audio_head, width
        self._text_shape = dims.n_text_layer, dims.n_text_head, text_width
        maker = Maker(state, precision.encoder, device)
        self._convs = [
            tuple(maker.tensor(f"encoder.{name}.{part}").to(self._dtype) for part in ("weight", "bias"))
            for name in ("conv1", "conv2")
        ]
        self._embedding = maker.tensor("encoder.positional_embedding")
        self._blocks = maker.blocks("encoder", dims.n_audio_layer, width)
        self._norm = maker.norm("encoder.ln_post")
        self._cross = maker.cross_keys_values(dims.n_text_layer)

    def encode(self, windows: Sequence[Tensor], *, full: bool = False) -> list[Encoding]:
        """Encode raw mel windows of shape (n_mels, 2 for each frame), none empty; ``full`` compacts nothing."""
        if self._batched:
            return self._encode_batch(windows, full=full)
        return [self._encode_alone(window, 0, None, full=full)[0] for window in windows]

    def encode_on(self, window: Tensor, start: int, kept: Kept | None, *, reuse: bool) -> tuple[Encoding, Kept]:
        """Encode a stream's window; with ``reuse`` compute only what is new since its last one.

        A frame that was computed a step ago saw silence where there is speech now. So the last ``margin`` frames are
        computed again, and all of them when the window begins elsewhere, has become shorter, has another level, or
        has grown to a multiple of what was computed as a whole: its beginning was heard with little around it.
        """
        return self._encode_alone(window, start, kept, full=False, reuse=reuse)

    def features(self, window: Tensor, *, full: bool = False) -> Tensor:
        """Return the normalised output of the last layer, (columns, width) in fp32: what cross-attention reads."""
        layout = Layout.of(window.shape[1] // 2, self.capacity, self._settings, full=full)
        level = Level.of(window, self._settings)
        reach = Reach.of(layout.begin, layout.begin, layout.end, layout.bias(self.capacity))
        x = self._rows(window, layout, level, 0)
        return self._norm(transform(x, self._blocks, self._memory(layout.begin, layout.end), reach))

    def _memory(self, begin: int, end: int) -> Memory:
        return Memory.new(begin, end - begin, self._shape, self._text_shape, self._dtype)

    def _encode_alone(
        self, window: Tensor, start: int, kept: Kept | None, *, full: bool, reuse: bool = False
    ) -> tuple[Encoding, Kept]:
        frames = window.shape[1] // 2
        layout = Layout.of(frames, self.capacity, self._settings, full=full)
        level = Level.of(window, self._settings)
        bias = layout.bias(self.capacity)
        old = self._reusable(kept, start, layout, level) if reuse else 0
        if kept is not None and old:
            memory, level, new = kept.memory, kept.level, layout.groups + old
        elif self.keeps and not full:
            memory = self._memory(0, layout.groups + self.capacity) if kept is None else kept.memory
            new = layout.begin
        else:
            memory, new = self._memory(layout.begin, layout.end), layout.begin
        reach = Reach.of(layout.begin, new, layout.end, bias)
        x = transform(self._rows(window, layout, level, old), self._blocks, memory, reach)
        cross(x, self._norm, self._cross, memory, new)
        used = slice(layout.begin - memory.origin, layout.end - memory.origin)
        encoding = Encoding(
            memory.cross_keys[..., used],
            memory.cross_values[..., used, :],
            bias,
            layout.groups - layout.begin,
            frames,
        )
        whole = kept.whole if kept is not None and old else frames
        return encoding, Kept(start, frames, whole, level, memory)

    def _reusable(self, kept: Kept | None, start: int, layout: Layout, level: Level) -> int:
        """Return how many frames of a stream's last window serve this one."""
        if kept is None or kept.start != start or kept.frames > layout.frames or not layout.compact:
            return 0
        grown = layout.frames >= self._settings.growth * kept.whole
        if grown or not level.near(kept.level, self._settings.drift):
            return 0
        return max(0, kept.frames - self._settings.margin)

    def _rows(self, window: Tensor, layout: Layout, level: Level, old: int) -> Tensor:
        """Convolve a window from its frame ``old`` on; answer a row for each column that is computed."""
        mel = level.scale(window)
        if not layout.compact:
            mel = F.pad(mel, (0, 2 * self.capacity - mel.shape[1]), value=level.silence)
            return self._convolve(mel) + self._embedding
        # Two frames before the first, which only the first sees; at least three after the last, so that the last one
        # used does not see the convolution's own zeros.
        before = min(old, 2)
        mel = mel[:, 2 * (old - before) :]
        hops = 2 * rounded(mel.shape[1] // 2 + _EDGE + 3)
        x = self._convolve(F.pad(mel, (0, hops - mel.shape[1]), value=level.silence))[before:]
        heard = layout.frames - old + _EDGE
        silence = x[heard]
        x = torch.cat([x[:heard], silence.expand(layout.kept - layout.frames - _EDGE, -1)])
        x = x + self._embedding[old : layout.kept]
        if old:
            return x
        middles, _ = layout.silent_positions(self.capacity)
        return torch.cat([silence + self._embedding[middles.to(self._device)], x])

    def _convolve(self, mel: Tensor) -> Tensor:
        """Run the two convolutions over (n_mels, hops); answer (hops // 2, width) in fp32."""
        (w1, b1), (w2, b2) = self._convs
        x = F.gelu(F.conv1d(mel.to(self._dtype)[None], w1, b1, padding=1))
        x = F.gelu(F.conv1d(x, w2, b2, stride=2, padding=1))
        return x[0].T.float()

    def _encode_batch(self, windows: Sequence[Tensor], *, full: bool) -> list[Encoding]:
        """Encode windows of any lengths as one batch, through torch's fused attention."""
        layouts = [Layout.of(w.shape[1] // 2, self.capacity, self._settings, full=full) for w in windows]
        levels = [Level.of(w, self._settings) for w in windows]
        rows = [self._rows(w, la, le, 0) for w, la, le in zip(windows, layouts, levels, strict=True)]
        biases = [la.bias(self.capacity) for la in layouts]
        x = pad_sequence(rows, batch_first=True)
        mask = torch.full((len(rows), 1, 1, x.shape[1]), float("-inf"))
        for row, own, bias in zip(mask, rows, biases, strict=True):
            row[..., : len(own)] = 0.0 if bias is None else bias
        x = self._transform_batch(x, mask.to(self._device, self._dtype))
        layers, heads, width = self._text_shape
        noted = self._cross(self._norm(x)).view(*x.shape[:2], layers, 2, heads, width)
        keys, values = noted[:, :, :, 0].permute(0, 2, 3, 4, 1), noted[:, :, :, 1].permute(0, 2, 3, 1, 4)
        return [
            Encoding(
                keys[i, ..., : len(own)].contiguous(),
                values[i, ..., : len(own), :].contiguous(),
                None if bias is None else bias.to(self._device),
                layout.groups - layout.begin,
                layout.frames,
            )
            for i, (own, bias, layout) in enumerate(zip(rows, biases, layouts, strict=True))
        ]

    def _transform_batch(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self._blocks:
            x = x + block.out(self._attend(block, x, mask))
            x = x + block.down(block.up(block.mlp_norm(x)))
        return x

    def _attend(self, block: Block, x: Tensor, mask: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = block.qkv(block.attention_norm(x)).view(batch, count, 3, self._shape[1], -1).permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(-1, -1, count, -1), scale=1.0)
        return heard.transpose(1, 2).reshape(batch, count, width)

"""Whisper's encoder over real audio only: the silence that would fill the 30 s is a few heavy keys.

Whisper pads every window to 30 s and pays for all of it; cut off, the padding's attention mass is missed and the
decoder loops. So the mass is kept and the work dropped: one key stands for a group of silent frames, and the
logarithm of the group's size is added to its attention logits, in every encoder layer and in the decoder's
cross-attention. The softmax then weighs it like that many equal keys. Measured on 107 clips with tiny.en:
8.7 to 9.1 % word error rate and 56 ms a window, against 8.95 % and 264 ms for the full 30 s, both in bf16.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.cpu.chunks import AttentionSpan, KvCache, cross, rounded, transform
from gpu_worker.model.nn.compaction import EDGE, EncoderSettings, Encoding, Layout, Level
from gpu_worker.model.nn.layers import AudioLayers


@dataclass(frozen=True, slots=True)
class EncoderCache:
    """The encoded columns of a stream's last window, for the next one if it begins at the same ``start``.

    ``whole`` is how many frames the window had when all of them were last computed.
    """

    start: int
    frames: int
    whole: int
    level: Level
    kv_cache: KvCache


class Encoder:
    """The encoder of one model on a CPU, one window after another.

    That is as fast as a batch on a CPU, needs no padding, and allows frames to be reused from step to step.
    """

    def __init__(self, layers: AudioLayers, device: torch.device, settings: EncoderSettings) -> None:
        self.capacity = len(layers.positions)
        self.keeps = settings.keep
        self._layers = layers
        self._device = device
        self._settings = settings

    def encode(self, windows: Sequence[Tensor], *, full: bool = False) -> list[Encoding]:
        """Encode raw mel windows of shape (n_mels, 2 for each frame), none empty; ``full`` compacts nothing."""
        return [self._encode_alone(window, 0, None, full=full)[0] for window in windows]

    def encode_on(
        self, window: Tensor, start: int, cached: EncoderCache | None, *, reuse: bool
    ) -> tuple[Encoding, EncoderCache]:
        """Encode a stream's window; with ``reuse`` compute only the frames that are new since its last one.

        A frame computed a step ago attended to silence where there is speech now. So the last ``margin`` frames are
        computed again, and all of them when the window begins elsewhere, is shorter, has another level, or has grown
        to `growth` times the length at which all were computed: its first frames had little context then.
        """
        return self._encode_alone(window, start, cached, full=False, reuse=reuse)

    def features(self, window: Tensor, *, full: bool = False) -> Tensor:
        """Return the normalised output of the last layer, (columns, width) in fp32: what cross-attention reads."""
        layout = Layout.of(window.shape[1] // 2, self.capacity, self._settings, full=full)
        level = Level.of(window, self._settings)
        span = AttentionSpan.of(layout.begin, layout.begin, layout.end, layout.bias(self.capacity))
        x = self._rows(window, layout, level, 0)
        return self._layers.norm(transform(x, self._layers.blocks, self._new_kv_cache(layout.begin, layout.end), span))

    def _new_kv_cache(self, begin: int, end: int) -> KvCache:
        layers = self._layers
        return KvCache.new(begin, end - begin, layers.shape, layers.text_shape, layers.dtype)

    def _encode_alone(
        self, window: Tensor, start: int, cached: EncoderCache | None, *, full: bool, reuse: bool = False
    ) -> tuple[Encoding, EncoderCache]:
        frames = window.shape[1] // 2
        layout = Layout.of(frames, self.capacity, self._settings, full=full)
        level = Level.of(window, self._settings)
        bias = layout.bias(self.capacity)
        old = self._reusable(cached, start, layout, level) if reuse else 0
        if cached is not None and old:
            kv_cache, level, new = cached.kv_cache, cached.level, layout.groups + old
        elif self.keeps and not full:
            kv_cache = self._new_kv_cache(0, layout.groups + self.capacity) if cached is None else cached.kv_cache
            new = layout.begin
        else:
            kv_cache, new = self._new_kv_cache(layout.begin, layout.end), layout.begin
        span = AttentionSpan.of(layout.begin, new, layout.end, bias)
        x = transform(self._rows(window, layout, level, old), self._layers.blocks, kv_cache, span)
        cross(x, self._layers.norm, self._layers.cross, kv_cache, new)
        used = slice(layout.begin - kv_cache.origin, layout.end - kv_cache.origin)
        encoding = Encoding(
            kv_cache.cross_keys[..., used],
            kv_cache.cross_values[..., used, :],
            bias,
            layout.groups - layout.begin,
            frames,
        )
        whole = cached.whole if cached is not None and old else frames
        return encoding, EncoderCache(start, frames, whole, level, kv_cache)

    def _reusable(self, cached: EncoderCache | None, start: int, layout: Layout, level: Level) -> int:
        """Return how many frames of a stream's last window can be used for this one."""
        if cached is None or cached.start != start or cached.frames > layout.frames or not layout.compact:
            return 0
        grown = layout.frames >= self._settings.growth * cached.whole
        if grown or not level.near(cached.level, self._settings.drift):
            return 0
        return max(0, cached.frames - self._settings.margin)

    def _rows(self, window: Tensor, layout: Layout, level: Level, old: int) -> Tensor:
        """Convolve a window from its frame ``old`` on; return a row for each column that is computed."""
        mel = level.scale(window)
        if not layout.compact:
            mel = F.pad(mel, (0, 2 * self.capacity - mel.shape[1]), value=level.silence)
            return self._layers.convolve(mel[None])[0] + self._layers.positions
        # Two frames before the first, which only the first sees; at least three after the last, so that the last one
        # used does not see the convolution's own zeros.
        before = min(old, 2)
        mel = mel[:, 2 * (old - before) :]
        hops = 2 * rounded(mel.shape[1] // 2 + EDGE + 3)
        x = self._layers.convolve(F.pad(mel, (0, hops - mel.shape[1]), value=level.silence)[None])[0, before:]
        audible = layout.frames - old + EDGE
        silence = x[audible]
        x = torch.cat([x[:audible], silence.expand(layout.kept - layout.frames - EDGE, -1)])
        x = x + self._layers.positions[old : layout.kept]
        if old:
            return x
        middles, _ = layout.silent_positions(self.capacity)
        return torch.cat([silence + self._layers.positions[middles.to(self._device)], x])

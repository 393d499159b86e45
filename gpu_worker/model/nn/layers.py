"""The layers of a Whisper model's encoder and decoder, shared by the CPU's and CUDA's passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from whisper.model import ModelDimensions

from gpu_worker.model.nn.blocks import Block, Maker, Norm, State
from gpu_worker.model.nn.linear import Linear, Precision, dtype_of


@dataclass(frozen=True, slots=True)
class AudioLayers:
    """The encoder.

    Attributes:
        dtype: what its products are computed in.
        shape: (layers, heads, width of a head).
        text_shape: the decoder's.
        convolutions: weight and bias of each of the two.
        positions: (1500, width).
        cross: makes the decoder's keys and values of every layer from the normalised output.
    """

    dtype: torch.dtype
    shape: tuple[int, int, int]
    text_shape: tuple[int, int, int]
    convolutions: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    positions: Tensor
    blocks: list[Block]
    norm: Norm
    cross: Linear

    @classmethod
    def build(cls, state: State, dims: ModelDimensions, precision: Precision, device: torch.device) -> "AudioLayers":
        """Prepare a checkpoint's encoder."""
        dtype = dtype_of(precision.encoder)
        maker = Maker(state, precision.encoder, device)
        width = dims.n_audio_state // dims.n_audio_head

        def convolution(name: str) -> tuple[Tensor, Tensor]:
            return maker.tensor(f"encoder.{name}.weight").to(dtype), maker.tensor(f"encoder.{name}.bias").to(dtype)

        return cls(
            dtype=dtype,
            shape=(dims.n_audio_layer, dims.n_audio_head, width),
            text_shape=(dims.n_text_layer, dims.n_text_head, dims.n_text_state // dims.n_text_head),
            convolutions=(convolution("conv1"), convolution("conv2")),
            positions=maker.tensor("encoder.positional_embedding"),
            blocks=maker.blocks("encoder", dims.n_audio_layer, width),
            norm=maker.norm("encoder.ln_post"),
            cross=maker.cross_keys_values(dims.n_text_layer),
        )

    def convolve(self, mel: Tensor) -> Tensor:
        """Run the two convolutions over (windows, n_mels, hops); return (windows, hops // 2, width) in fp32."""
        (w1, b1), (w2, b2) = self.convolutions
        x = F.gelu(F.conv1d(mel.to(self.dtype), w1, b1, padding=1))
        x = F.gelu(F.conv1d(x, w2, b2, stride=2, padding=1))
        return x.transpose(1, 2).float()


@dataclass(frozen=True, slots=True)
class TextLayers:
    """The decoder.

    Attributes:
        shape: (layers, heads, width of a head).
        positions: (448, width).
        alignment_heads: by layer, its alignment heads and the first one's row in recorded attention.
        attention_heads: how many alignment heads there are.
    """

    shape: tuple[int, int, int]
    positions: Tensor
    blocks: list[Block]
    norm: Norm
    alignment_heads: dict[int, tuple[list[int], int]]
    attention_heads: int

    @classmethod
    def build(
        cls,
        state: State,
        dims: ModelDimensions,
        precision: Precision,
        device: torch.device,
        alignment_heads: Sequence[tuple[int, int]],
    ) -> "TextLayers":
        """Prepare a checkpoint's decoder; ``alignment_heads`` are (layer, head)."""
        maker = Maker(state, precision.decoder, device)
        width = dims.n_text_state // dims.n_text_head
        by_layer: dict[int, tuple[list[int], int]] = {}
        for layer, group in groupby(enumerate(sorted(alignment_heads)), key=lambda each: each[1][0]):
            members = list(group)
            by_layer[layer] = [head for _, (_, head) in members], members[0][0]
        return cls(
            shape=(dims.n_text_layer, dims.n_text_head, width),
            positions=maker.tensor("decoder.positional_embedding"),
            blocks=maker.blocks("decoder", dims.n_text_layer, width),
            norm=maker.norm("decoder.ln"),
            alignment_heads=by_layer,
            attention_heads=len(alignment_heads),
        )

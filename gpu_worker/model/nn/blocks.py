"""A Whisper checkpoint's layers, prepared for a device and a precision."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gpu_worker.model.nn.linear import Kind, Linear, linear

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation, always in fp32."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """The decoder's attention to audio; its keys and values are computed with the encoder's output."""

    norm: Norm
    query: Linear
    out: Linear


@dataclass(frozen=True, slots=True)
class Block:
    """One transformer layer.

    Queries are scaled already, one product makes queries, keys and values, and ``up`` ends in its GELU.
    """

    attention_norm: Norm
    qkv: Linear
    out: Linear
    cross: CrossAttention | None
    mlp_norm: Norm
    up: Linear
    down: Linear

    @property
    def crossing(self) -> CrossAttention:
        """A decoder layer's attention to audio."""
        if self.cross is None:
            raise TypeError("an encoder's layer has no cross-attention")
        return self.cross


class Maker:
    """Prepares parts of one checkpoint for a device, each matrix in the given kind."""

    def __init__(self, state: State, kind: Kind, device: torch.device) -> None:
        self._state = state
        self._kind = kind
        self._device = device

    def tensor(self, name: str) -> Tensor:
        """Return a tensor in fp32 on the device, never a view of the checkpoint."""
        return self._state[name].to(self._device, torch.float32, copy=True)

    def norm(self, name: str) -> Norm:
        return Norm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def linear(self, name: str, *, gelu: bool = False) -> Linear:
        return linear(self._state[f"{name}.weight"], self._state[f"{name}.bias"], self._kind, self._device, gelu=gelu)

    def blocks(self, part: str, layers: int, head_width: int) -> list[Block]:
        """Return the layers of ``encoder`` or ``decoder``."""
        scale = head_width**-0.5
        return [self._block(f"{part}.blocks.{i}", scale) for i in range(layers)]

    def cross_keys_values(self, layers: int) -> Linear:
        """Return one product that makes the keys, then the values, of every decoder layer in turn."""
        names = [f"decoder.blocks.{i}.cross_attn" for i in range(layers)]
        weights = [self._state[f"{n}.{part}.weight"] for n in names for part in ("key", "value")]
        biases = [b for n in names for b in self._key_value_bias(n)]
        return linear(torch.cat(weights), torch.cat(biases), self._kind, self._device)

    def _key_value_bias(self, name: str) -> tuple[Tensor, Tensor]:
        value = self._state[f"{name}.value.bias"]
        return torch.zeros_like(value), value  # Whisper's keys have no bias

    def _query(self, name: str, scale: float) -> tuple[Tensor, Tensor]:
        # Heads are 64 wide in every official model: the scale is 1/8, and folding it in changes no bit.
        return self._state[f"{name}.query.weight"].float() * scale, self._state[f"{name}.query.bias"].float() * scale

    def _block(self, name: str, scale: float) -> Block:
        query, query_bias = self._query(f"{name}.attn", scale)
        key, value = (self._state[f"{name}.attn.{part}.weight"].float() for part in ("key", "value"))
        qkv = torch.cat([query, key, value])
        bias = torch.cat([query_bias, *(b.float() for b in self._key_value_bias(f"{name}.attn"))])
        return Block(
            attention_norm=self.norm(f"{name}.attn_ln"),
            qkv=linear(qkv, bias, self._kind, self._device),
            out=self.linear(f"{name}.attn.out"),
            cross=self._cross(name, scale) if f"{name}.cross_attn.out.weight" in self._state else None,
            mlp_norm=self.norm(f"{name}.mlp_ln"),
            up=self.linear(f"{name}.mlp.0", gelu=True),
            down=self.linear(f"{name}.mlp.2"),
        )

    def _cross(self, name: str, scale: float) -> CrossAttention:
        query, bias = self._query(f"{name}.cross_attn", scale)
        return CrossAttention(
            norm=self.norm(f"{name}.cross_attn_ln"),
            query=linear(query, bias, self._kind, self._device),
            out=self.linear(f"{name}.cross_attn.out"),
        )

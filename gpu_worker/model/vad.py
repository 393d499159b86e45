"""Voice activity: Silero's network in plain torch, many streams at once."""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from gpu_worker.recognizer import VAD_FRAME, Pcm

_CONTEXT = 64
"""Samples of the frame before that the network sees in front of each frame."""

_STRIDES = (1, 2, 2, 1)
_STATE = 128


@dataclass(frozen=True, slots=True)
class VadSettings:
    """How quiet speech is brought up before it is judged (engine.md's first guesses).

    Attributes:
        target: the peak that a quiet stream is brought to.
        floor: the lowest peak assumed, so that digital silence is not brought up without end.
        half_life_s: how soon a loud passage is forgotten.
    """

    target: float = 0.3
    floor: float = 0.01
    half_life_s: float = 1.0


@dataclass(frozen=True, slots=True)
class VadState:
    """What one stream carries from call to call: the network's memory, its last samples, the peak followed."""

    hidden: Tensor
    cell: Tensor
    context: NDArray[np.float32]
    peak: float

    @classmethod
    def new(cls) -> "VadState":
        """Return the state of a stream that has heard nothing."""
        return cls(torch.zeros(_STATE), torch.zeros(_STATE), np.zeros(_CONTEXT, dtype=np.float32), 0.0)


class Vad:
    """Silero v6 at 16 kHz.

    The weights are those of the wheel's TorchScript file: its safetensors file of the same name holds others
    (13 of 1253 decisions differed).
    """

    def __init__(self, settings: VadSettings | None = None) -> None:
        self._settings = settings or VadSettings()
        with warnings.catch_warnings():  # a TorchScript file can only be read by what torch deprecates
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(_weights_file())  # type: ignore[no-untyped-call]
        weights: dict[str, Tensor] = script.state_dict()
        # Cloned, so that nothing keeps the script module alive.
        named = {k.removeprefix("_model."): v.clone() for k, v in weights.items() if k.startswith("_model.")}
        self._basis = named["stft.forward_basis_buffer"]
        self._convs = [
            (named[f"encoder.{i}.reparam_conv.weight"], named[f"encoder.{i}.reparam_conv.bias"], stride)
            for i, stride in enumerate(_STRIDES)
        ]
        self._lstm = torch.nn.LSTM(_STATE, _STATE)
        self._lstm.load_state_dict(
            {f"{k}_l0": named[f"decoder.rnn.{k}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        )
        self._head = named["decoder.decoder.2.weight"].view(-1), named["decoder.decoder.2.bias"]

    def run(self, streams: Sequence[tuple[VadState, Pcm]]) -> list[tuple[NDArray[np.float32], VadState]]:
        """Judge each stream's whole frames; answer the probabilities and the stream's next state.

        The streams may be of different lengths, none empty. Nothing is kept here: who calls commits the states.
        """
        if not streams:
            return []
        scaled = [self._level(state, pcm) for state, pcm in streams]
        frames = [_with_context(state.context, audio) for (state, _), (audio, _) in zip(streams, scaled, strict=True)]
        with torch.inference_mode():
            features = self._features(torch.from_numpy(np.concatenate(frames)))
            packed = pack_sequence(list(torch.split(features, [len(f) for f in frames])), enforce_sorted=False)
            hidden = torch.stack([state.hidden for state, _ in streams])[None]
            cell = torch.stack([state.cell for state, _ in streams])[None]
            out, (hidden, cell) = self._lstm(packed, (hidden, cell))
            padded, lengths = pad_packed_sequence(out, batch_first=True)
            weight, bias = self._head
            speech = torch.sigmoid(padded.relu() @ weight + bias)
        return [
            (
                speech[i, : int(lengths[i])].numpy(),
                VadState(hidden[0, i].clone(), cell[0, i].clone(), audio[-_CONTEXT:].copy(), peak),
            )
            for i, (audio, peak) in enumerate(scaled)
        ]

    def _level(self, state: VadState, pcm: Pcm) -> tuple[NDArray[np.float32], float]:
        """Bring a quiet stream up, frame by frame, by the peak that it had of late."""
        audio = (pcm.astype(np.float32) / 32768.0).reshape(-1, VAD_FRAME)
        decay = 0.5 ** (VAD_FRAME / 16_000 / self._settings.half_life_s)
        peak = state.peak
        gains = np.empty((len(audio), 1), dtype=np.float32)
        for i, loudest in enumerate(np.abs(audio).max(1).tolist()):
            peak = max(loudest, peak * decay, self._settings.floor)
            gains[i] = max(1.0, self._settings.target / peak)
        return (audio * gains).reshape(-1), peak

    def _features(self, frames: Tensor) -> Tensor:
        """Run the spectrum and the convolutions over (frames, 576) samples; answer (frames, 128)."""
        x = F.pad(frames[:, None], (0, _CONTEXT), mode="reflect")
        x = F.conv1d(x, self._basis, stride=128)
        half = x.shape[1] // 2
        x = (x[:, :half].square() + x[:, half:].square()).sqrt()
        for weight, bias, stride in self._convs:
            x = F.conv1d(x, weight, bias, stride=stride, padding=1).relu()
        return x[:, :, 0]


def _with_context(context: NDArray[np.float32], audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay whole frames out in rows, each behind the samples before it."""
    whole = np.concatenate([context, audio])
    return np.lib.stride_tricks.sliding_window_view(whole, VAD_FRAME + _CONTEXT)[::VAD_FRAME]


def _weights_file() -> str:
    """Find the network's file without importing its package, which wants an audio library."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("silero-vad is not installed", name="silero_vad")
    return str(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.jit")

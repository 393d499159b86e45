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
from torch.nn.utils.rnn import pad_sequence

from gpu_worker.model.nn.pinned_copy import to_device
from gpu_worker.recognizer import VAD_FRAME, Pcm

_CONTEXT = 64
"""Samples of the previous frame that the network takes in front of each frame."""

_SPAN = 256
"""Samples of one column of its spectrum; the next begins half as many later."""

_STATE = 128


@dataclass(frozen=True, slots=True)
class VadSettings:
    """How quiet speech is amplified before it is judged.

    Attributes:
        target: the peak that a quiet stream is amplified to.
        floor: the lowest peak assumed, so that digital silence is not amplified without bound.
        half_life_s: time in which the recent peak falls by half.
    """

    target: float = 0.3
    floor: float = 0.01
    half_life_s: float = 1.0


@dataclass(frozen=True, slots=True)
class VadState:
    """A stream's state between two calls: the network's memory, its last samples, the recent peak."""

    hidden: Tensor
    cell: Tensor
    context: NDArray[np.float32]
    peak: float

    @classmethod
    def new(cls) -> "VadState":
        """Return the state of a stream that has received no audio."""
        return cls(torch.zeros(_STATE), torch.zeros(_STATE), np.zeros(_CONTEXT, dtype=np.float32), 0.0)


class Vad:
    """Silero v6 at 16 kHz.

    The weights are those of the wheel's TorchScript file: its safetensors file of the same name holds others
    (13 of 1253 decisions differed).
    """

    def __init__(self, settings: VadSettings | None = None, device: torch.device | None = None) -> None:
        self._settings = settings or VadSettings()
        self._device = device or torch.device("cpu")
        with warnings.catch_warnings():  # a TorchScript file can only be read by what torch deprecates
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(_weights_file())  # type: ignore[no-untyped-call]
        weights: dict[str, Tensor] = script.state_dict()
        # Cloned, so that nothing keeps the script module alive.
        named = {k.removeprefix("_model."): v.clone() for k, v in weights.items() if k.startswith("_model.")}
        # Convolutions are plain products here: a frame is four columns of spectrum, then two, then one, and what taps
        # see beyond them is zero. torch's own cost over three times as much, in overhead: 0.94 against 0.27 ms a call
        # of 3 frames.
        # They are most of the work, and run on the device; the LSTM is many small steps, and runs on the CPU.
        self._basis = named["stft.forward_basis_buffer"][:, 0].T.contiguous().to(self._device)
        taps = [named[f"encoder.{i}.reparam_conv.weight"].permute(2, 1, 0) for i in range(4)]
        used = [taps[0].flatten(0, 1), taps[1].flatten(0, 1), taps[2][1:].flatten(0, 1), taps[3][1]]
        self._taps = [each.contiguous().to(self._device) for each in used]
        self._biases = [named[f"encoder.{i}.reparam_conv.bias"].to(self._device) for i in range(4)]
        self._input = named["decoder.rnn.weight_ih"].T.contiguous().to(self._device)
        self._recurrent = named["decoder.rnn.weight_hh"].T.contiguous()
        self._gates = (named["decoder.rnn.bias_ih"] + named["decoder.rnn.bias_hh"]).to(self._device)
        self._head = named["decoder.decoder.2.weight"].view(-1), named["decoder.decoder.2.bias"]

    def run(self, streams: Sequence[tuple[VadState, Pcm]]) -> list[tuple[NDArray[np.float32], VadState]]:
        """Judge each stream's whole frames; return the probabilities and the stream's next state.

        The streams may be of different lengths, none empty. The caller keeps the states.
        """
        if not streams:
            return []
        scaled = [self._amplify(state, pcm) for state, pcm in streams]
        frames = [_with_context(state.context, audio) for (state, _), (audio, _) in zip(streams, scaled, strict=True)]
        lengths = [len(f) for f in frames]
        with torch.inference_mode():
            inputs = self._features(to_device(np.concatenate(frames), self._device)).cpu()
            hidden, states = self._run_lstm([state for state, _ in streams], list(torch.split(inputs, lengths)))
            weight, bias = self._head
            speech = torch.split(torch.sigmoid(hidden.relu() @ weight + bias), lengths)
        return [
            (found.numpy(), VadState(*state, audio[-_CONTEXT:].copy(), peak))
            for found, state, (audio, peak) in zip(speech, states, scaled, strict=True)
        ]

    def _run_lstm(
        self, states: Sequence[VadState], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Run the LSTM over all streams at once, each for its own number of frames.

        Return its output for all frames, one stream's after the other's, and each stream's next memory.
        """
        order = sorted(range(len(inputs)), key=lambda i: -len(inputs[i]))  # those that end first are the last rows
        hidden = torch.stack([states[i].hidden for i in order])
        cell = torch.stack([states[i].cell for i in order])
        outs: list[Tensor] = []
        left: dict[int, tuple[Tensor, Tensor]] = {}
        places: dict[tuple[int, int], int] = {}
        for step, now in enumerate(pad_sequence([inputs[i] for i in order])):
            going = sum(len(each) > step for each in inputs)
            gates = torch.addmm(now[:going], hidden[:going], self._recurrent)
            input_gate, forget_gate, _, output_gate = gates.sigmoid().chunk(4, 1)
            cell = forget_gate * cell[:going] + input_gate * gates[:, 2 * _STATE : 3 * _STATE].tanh()
            hidden = output_gate * cell.tanh()
            outs.append(hidden)
            for at, i in enumerate(order[:going]):
                places[i, step] = len(places)
                if step == len(inputs[i]) - 1:
                    left[i] = hidden[at].clone(), cell[at].clone()
        rows = [places[i, step] for i, each in enumerate(inputs) for step in range(len(each))]
        return torch.cat(outs)[rows], [left[i] for i in range(len(inputs))]

    def _amplify(self, state: VadState, pcm: Pcm) -> tuple[NDArray[np.float32], float]:
        """Amplify a quiet stream, frame by frame, by its recent peak."""
        audio = (pcm.astype(np.float32) / 32768.0).reshape(-1, VAD_FRAME)
        decay = 0.5 ** (VAD_FRAME / 16_000 / self._settings.half_life_s)
        peak = state.peak
        gains = np.empty((len(audio), 1), dtype=np.float32)
        for i, loudest in enumerate(np.abs(audio).max(1).tolist()):
            peak = max(loudest, peak * decay, self._settings.floor)
            gains[i] = max(1.0, self._settings.target / peak)
        return (audio * gains).reshape(-1), peak

    def _features(self, frames: Tensor) -> Tensor:
        """Run the spectrum and the convolutions over (frames, 576) samples; return the gates' input, (frames, 512)."""
        count = len(frames)
        x = torch.cat([frames, frames[:, -1 - _CONTEXT : -1].flip(1)], 1)  # reflected at its end
        x = x.unfold(1, _SPAN, _SPAN // 2) @ self._basis
        half = x.shape[2] // 2
        x = torch.hypot(x[..., :half], x[..., half:])
        x = self._convolve(0, F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1).transpose(2, 3).flatten(2).flatten(0, 1))
        x = F.pad(x.view(count, 4, -1), (0, 0, 1, 0))
        x = self._convolve(1, torch.stack([x[:, :3].flatten(1), x[:, 2:].flatten(1)], 1).flatten(0, 1))
        x = self._convolve(3, self._convolve(2, x.view(count, -1)))
        return torch.addmm(self._gates, x, self._input)

    def _convolve(self, layer: int, rows: Tensor) -> Tensor:
        return torch.addmm(self._biases[layer], rows, self._taps[layer]).relu_()


def _with_context(context: NDArray[np.float32], audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return whole frames in rows, each preceded by its context."""
    whole = np.concatenate([context, audio])
    return np.lib.stride_tricks.sliding_window_view(whole, VAD_FRAME + _CONTEXT)[::VAD_FRAME]


def _weights_file() -> str:
    """Return the path of the network's file without importing its package, which needs an audio library."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("silero-vad is not installed", name="silero_vad")
    return str(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.jit")

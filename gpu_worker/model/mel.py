"""Turn samples into raw log-mel frames, aligned to the real stream."""

import numpy as np
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from gpu_worker.recognizer import FRAME, Pcm

_REACH = N_FFT // 2
_FLOOR = 1e-10


def whole_frames(samples: int) -> int:
    """Return how many encoder frames can be made of ``samples`` from a window's start.

    A frame is two mel hops, and a hop needs the 200 samples that follow its middle; one whose samples have not all
    arrived is not made, since it would change later.
    """
    return ((samples - _REACH) // HOP_LENGTH + 1) // 2 if samples >= _REACH else 0


class Spectrum:
    """The short-time spectrum of a model with ``n_mels`` bands."""

    def __init__(self, n_mels: int, device: torch.device) -> None:
        self.device = device
        self._filters: Tensor = mel_filters("cpu", n_mels).to(device)
        self._window = torch.hann_window(N_FFT, device=device)

    def raw(self, pcm: Pcm, context: int, first: int = 0) -> Tensor:
        """Return ``log10`` of the mel power, neither clamped to a range nor scaled: shape (n_mels, hops).

        Args:
            pcm: samples; the window begins ``context`` samples in.
            context: samples before the window, used so that its first frames see what really came before them.
            first: encoder frames of the window to leave out.
        """
        start = context + first * FRAME
        hops = 2 * (whole_frames(len(pcm) - context) - first)
        if hops <= 0:
            return torch.empty(len(self._filters), 0, device=self.device)
        low = start - _REACH
        audio = np.asarray(pcm[max(0, low) : start + (hops - 1) * HOP_LENGTH + _REACH], dtype=np.float32) / 32768.0
        if low < 0:  # the session begins here: silence came before it
            audio = np.concatenate([np.zeros(-low, dtype=np.float32), audio])
        waves = torch.stft(
            torch.from_numpy(audio).to(self.device),
            N_FFT,
            HOP_LENGTH,
            window=self._window,
            center=False,
            return_complex=True,
        )
        power = self._filters @ (waves.real.square() + waves.imag.square())
        return power.clamp(min=_FLOOR).log10()

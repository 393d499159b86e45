"""Compute raw log-mel frames of a stream's samples, without reflection at a window's edges."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from gpu_worker.model.cuda.shapes import batch_rows, round_up
from gpu_worker.model.nn.pinned_copy import copy_pinned, pinned_empty
from gpu_worker.recognizer import FRAME, Pcm

_HOPS = 128
"""Hops of windows that are transformed together are rounded up to this: CUDA plans its transforms for each shape."""

_HALF_WINDOW = N_FFT // 2
_FLOOR = 1e-10


def whole_frames(samples: int) -> int:
    """Return how many encoder frames can be made of ``samples`` from a window's start.

    A frame is two mel hops, and a hop needs the 200 samples that follow its middle; a hop whose samples have not all
    arrived is left out, since it would change later.
    """
    return ((samples - _HALF_WINDOW) // HOP_LENGTH + 1) // 2 if samples >= _HALF_WINDOW else 0


class Spectrum:
    """The short-time spectrum of a model with ``n_mels`` bands; ``together``: all windows of a step as one."""

    def __init__(self, n_mels: int, device: torch.device, *, together: bool = False) -> None:
        self.device = device
        self._together = together
        self._filters: Tensor = mel_filters("cpu", n_mels).to(device)
        self._window = torch.hann_window(N_FFT, device=device)

    def raw(self, pcm: Pcm, context: int, first: int = 0) -> Tensor:
        """Return ``log10`` of the mel power, neither clamped to a range nor scaled: shape (n_mels, hops).

        Args:
            pcm: samples; the window begins ``context`` samples in.
            context: samples before the window, used so that its first frames see what really came before them.
            first: encoder frames of the window to leave out.
        """
        hops = 2 * (whole_frames(len(pcm) - context) - first)
        if hops <= 0:
            return torch.empty(len(self._filters), 0, device=self.device)
        return self._transform(torch.from_numpy(_samples_of(pcm, context + first * FRAME, hops)).to(self.device))

    def raws(self, windows: Sequence[tuple[Pcm, int]]) -> list[Tensor]:
        """Return `raw` of many windows, each of samples and context."""
        if not self._together:
            return [self.raw(pcm, context) for pcm, context in windows]
        hops = [2 * whole_frames(len(pcm) - context) for pcm, context in windows]
        samples = round_up(max(hops, default=0), _HOPS) * HOP_LENGTH + N_FFT
        waves = pinned_empty((batch_rows(len(windows)), samples), torch.int16, self.device)
        rows = waves.numpy()
        for row, (pcm, context), count in zip(rows, windows, hops, strict=False):
            own = _samples_of(pcm, context, count) if count > 0 else pcm[:0]
            row[: len(own)] = own
            row[len(own) :] = 0
        rows[len(windows) :] = 0
        found = self._transform(copy_pinned(waves, self.device))
        return [own[:, : max(count, 0)] for own, count in zip(found, hops, strict=False)]

    def _transform(self, samples: Tensor) -> Tensor:
        waves = torch.stft(
            samples.float() / 32768.0, N_FFT, HOP_LENGTH, window=self._window, center=False, return_complex=True
        )
        power = self._filters @ (waves.real.square() + waves.imag.square())
        return power.clamp(min=_FLOOR).log10()


def _samples_of(pcm: Pcm, start: int, hops: int) -> Pcm:
    """Return the samples that ``hops`` hops from ``start`` on cover; before a session's first there was silence."""
    low = start - _HALF_WINDOW
    audio = np.asarray(pcm[max(0, low) : start + (hops - 1) * HOP_LENGTH + _HALF_WINDOW], dtype=np.int16)
    return audio if low >= 0 else np.concatenate([np.zeros(-low, dtype=np.int16), audio])

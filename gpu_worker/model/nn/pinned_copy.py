"""Copy from the host to the device without waiting for it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array's copy on the device.

    For CUDA it goes through page-locked memory, so that the copy is queued like a kernel and nothing waits; torch
    keeps that memory until the copy is done.
    """
    host = torch.from_numpy(values)
    return copy_pinned(host.pin_memory() if device.type == "cuda" else host, device)


def pinned_empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Allocate memory on the host, uninitialised, to fill and pass to `copy_pinned`.

    For CUDA it is page-locked, and torch reuses it. Large arrays are best built in it at once: to fill 34 MB of new
    memory and copy it took 21 ms, to fill page-locked memory 2 ms.
    """
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def copy_pinned(host: Tensor, device: torch.device) -> Tensor:
    """Copy page-locked memory to the device; ``host`` must not be written afterwards."""
    return host.to(device, non_blocking=device.type == "cuda")

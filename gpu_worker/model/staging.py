"""From the host to the device without waiting for it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def staged(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array's copy on the device.

    For CUDA it goes through page-locked memory, so that the copy is queued like a kernel and nobody waits; torch
    keeps that memory until the copy is done.
    """
    host = torch.from_numpy(values)
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)

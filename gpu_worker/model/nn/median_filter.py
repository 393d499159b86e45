"""A running median of seven."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

RADIUS = 3
"""Neighbours to each side of a value that it is smoothed with."""


def median(x: Tensor) -> Tensor:
    """Return the median of each seven neighbours of the last dimension, reflected at its ends."""
    if x.shape[-1] <= RADIUS:
        return x
    return median_between(F.pad(x, (RADIUS, RADIUS), mode="reflect"))


def median_between(x: Tensor) -> Tensor:
    """Return the median of each seven neighbours of the last dimension, six fewer than it has.

    Seven are two sorted triples with one value between them. What is third and fourth of the six bounds that value.
    Triples serve two windows each, and nothing is sorted (whisper's own sorts every seven).
    """
    count = x.shape[-1] - 2 * RADIUS
    a, b, c = x[..., :-2], x[..., 1:-1], x[..., 2:]
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    least, most = torch.minimum(low, c), torch.maximum(high, c)
    middle = torch.maximum(low, torch.minimum(high, c))
    (a1, b1), (a2, b2), (a3, b3) = ((t[..., :count], t[..., RADIUS + 1 :]) for t in (least, middle, most))
    third = torch.minimum(torch.maximum(a2, b1), torch.maximum(a1, b2))
    third = torch.minimum(third, torch.minimum(a3, b3))
    fourth = torch.minimum(torch.maximum(a3, b1), torch.maximum(a1, b3))
    fourth = torch.minimum(fourth, torch.maximum(a2, b2))
    return torch.maximum(third, torch.minimum(fourth, x[..., RADIUS : RADIUS + count]))

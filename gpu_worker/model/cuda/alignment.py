"""Word times of many windows at once, for a device on which many small operations are slow."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gpu_worker.model.nn.median_filter import RADIUS, median_between
from gpu_worker.model.nn.pinned_copy import to_device


def boundaries_together(attentions: Sequence[Tensor], counts: Sequence[int]) -> list[list[int]]:
    """Return what `alignment.token_boundaries` does, of each window, with one wait for the device.

    Args:
        attentions: for each window (heads, rows, frames); row i chose token i.
        counts: tokens of each.
    """
    found: list[list[int]] = [[0] for _ in counts]
    asked = [i for i, count in enumerate(counts) if count]
    if asked:
        paths = _paths([attentions[i] for i in asked], [counts[i] + 1 for i in asked])
        for i, path in zip(asked, paths.tolist(), strict=True):
            found[i] = path[: counts[i] + 1]
    return found


def _paths(attentions: Sequence[Tensor], rows: Sequence[int]) -> Tensor:
    """Return (windows, rows): at which frame each row's path begins."""
    device = attentions[0].device
    frames = [attention.shape[2] for attention in attentions]
    x = torch.zeros(len(attentions), attentions[0].shape[0], max(rows), max(frames), device=device)
    for own, attention, count, width in zip(x, attentions, rows, frames, strict=True):
        given = min(count, attention.shape[1])
        own[:, :given, :width] = attention[:, :given]
        if given < count:  # the row that would have chosen the end is missing: the last one stands for it
            own[:, given, :width] = attention[:, -1]
    sizes = to_device(np.array([rows, frames]), device)
    costs = -_smoothed(_standard(x, sizes[0]), sizes[1]).mean(1).double()
    return _monotone(costs, sizes[0], sizes[1])


def _standard(x: Tensor, rows: Tensor) -> Tensor:
    """Return attention (windows, heads, rows, frames) as shares of frames, standardised over each window's rows."""
    own = (torch.arange(x.shape[2], device=x.device) < rows[:, None])[:, None, :, None]
    shares = x / x.sum(-1, keepdim=True).clamp(min=1e-9)
    share = rows[:, None, None, None]
    centred = (shares - shares.sum(2, keepdim=True) / share) * own
    return centred / (centred.square().sum(2, keepdim=True) / share).sqrt().clamp(min=1e-9)


def _smoothed(x: Tensor, frames: Tensor) -> Tensor:
    """Return the running median over each window's own frames, reflected at their ends."""
    places = torch.arange(-RADIUS, x.shape[3] + RADIUS, device=x.device).abs().expand(len(x), -1)
    last = frames[:, None] - 1
    places = torch.where(places > last, 2 * last - places, places).clamp(0, x.shape[3] - 1)
    around = x.gather(3, places[:, None, None].expand(-1, x.shape[1], x.shape[2], -1))
    return torch.where((frames <= RADIUS)[:, None, None, None], x, median_between(around))


def _monotone(costs: Tensor, rows: Tensor, frames: Tensor) -> Tensor:
    """Return the column at which each row of (windows, rows, frames) is entered, as `alignment.monotone_path`.

    Values beyond a window's own frames and rows are computed and not used: a path depends only on what is left of it
    and above.
    """
    windows, count, _ = costs.shape
    reached = torch.full_like(costs[:, 0], float("inf"))
    corner = torch.zeros_like(reached[:, :1])
    columns = torch.arange(costs.shape[2], device=costs.device)
    entries: list[Tensor] = []
    stepped: list[Tensor] = []
    for row in costs.unbind(1):
        diagonal = torch.cat([corner, reached[:, :-1]], 1)
        stepped.append(diagonal < reached)
        total = row.cumsum(1)
        entered = torch.minimum(diagonal, reached) - (total - row)
        least = entered.cummin(1).values
        # The first of equals, as `monotone_path` takes it: a column counts if nothing before it was as little.
        first = torch.cat([torch.ones_like(stepped[-1][:, :1]), entered[:, 1:] < least[:, :-1]], 1)
        entries.append((first * columns).cummax(1).values)
        reached = total + least
        corner = torch.full_like(corner, float("inf"))
    path = torch.zeros(windows, count, dtype=torch.long, device=costs.device)
    column = frames[:, None] - 1
    for i in range(count - 1, -1, -1):
        own = i < rows[:, None]
        entry = entries[i].gather(1, column)
        path[:, i : i + 1] = torch.where(own, entry, 0)
        column = torch.where(own, entry - stepped[i].gather(1, entry).long(), column)
    return path

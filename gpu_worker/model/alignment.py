"""Word times: a monotone path through the decoder's attention to audio."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_worker.model.cuda.alignment import boundaries_together
from gpu_worker.model.nn.median_filter import median
from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.recognizer import FRAME, TimedWord


def timed_words(
    tokens: Tokens, text: Sequence[int], committed: int, boundaries: Sequence[int], *, start: int, language: str
) -> tuple[TimedWord, ...]:
    """Group text tokens into words with their times.

    Args:
        tokens: the model's vocabulary.
        text: committed and new tokens.
        committed: how many of them are committed.
        boundaries: the frame at which each token begins, and at the end where the last one ends.
        start: position of the window, in samples.
        language: what the text is written in.
    """
    words = []
    first = 0
    for word, count in tokens.words(text, language):
        last = first + count
        words.append(
            TimedWord(
                text=word,
                fresh=word if first >= committed else tokens.text(text[committed:last]),
                first=first,
                last=last,
                start=start + boundaries[first] * FRAME,
                end=start + boundaries[last] * FRAME,
            )
        )
        first = last
    return tuple(words)


def boundaries(attentions: Sequence[Tensor], counts: Sequence[int]) -> list[list[int]]:
    """Return `token_boundaries` of many windows: on a CPU one after another, on another device all at once."""
    if attentions and attentions[0].device.type != "cpu":
        return boundaries_together(attentions, counts)
    return [token_boundaries(attention, count) for attention, count in zip(attentions, counts, strict=True)]


def token_boundaries(attention: Tensor, count: int) -> list[int]:
    """Return the frame at which each of ``count`` tokens begins, and one more for the end of the last.

    As whisper.timing: attention to real frames, standardised over tokens, smoothed by a median, averaged over
    heads, and a monotone path through the result.

    Args:
        attention: attention of the alignment heads, (heads, rows, frames); row i chose token i.
        count: tokens; where the row that would have chosen the end is missing, the last row stands for it.
    """
    if count == 0:
        return [0]
    rows = attention[:, : count + 1].cpu()
    if rows.shape[1] <= count:
        rows = torch.cat([rows, rows[:, -1:].expand(-1, count + 1 - rows.shape[1], -1)], 1)
    # Head by head, since the values of one stay in the processor's cache.
    matrix = torch.stack([median(_standard(head)) for head in rows]).mean(0)
    return monotone_path(-matrix.double().numpy())


def _standard(head: Tensor) -> Tensor:
    """Return a head's attention as shares of real frames, standardised over tokens."""
    shares = head / head.sum(-1, keepdim=True).clamp(min=1e-9)
    centred = shares - shares.mean(0)
    return centred / centred.square().mean(0).sqrt().clamp(min=1e-9)  # torch.std_mean takes ten times as long


def monotone_path(cost: NDArray[np.float64]) -> list[int]:
    """Return the first column of each row on the cheapest path from the first corner to the last.

    A path goes down, right or both at once (dynamic time warping). Within a row it can only go right, so the cost to
    reach a column is a running sum plus the least cost of having entered the row before it: a row is a few vector
    operations, and nothing is compiled at start-up.
    """
    rows, columns = cost.shape
    reached = np.full(columns, np.inf)  # the cost to have reached each column of the row above
    entered = np.empty((rows, columns))  # the cost to enter each row at each column, less the row's sum up to there
    stepped = np.empty((rows, columns), dtype=bool)  # whether that entry came diagonally
    corner = 0.0
    for i, row in enumerate(cost):
        diagonal = np.concatenate([[corner], reached[:-1]])
        stepped[i] = diagonal < reached
        total = np.cumsum(row)
        entered[i] = np.minimum(diagonal, reached) - (total - row)
        reached = total + np.minimum.accumulate(entered[i])
        corner = np.inf
    path = [0] * rows
    column = columns - 1
    for i in range(rows - 1, -1, -1):
        column = int(np.argmin(entered[i, : column + 1]))
        path[i] = column
        column -= int(stepped[i, column])
    return path

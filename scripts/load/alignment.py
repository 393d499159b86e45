"""Align two texts, word against word, at the least number of errors (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alignment: a spoken word heard (right or wrong), missed (no ``heard``) or made up (no ``said``).

    Attributes:
        said: the index of the spoken word.
        heard: the index of the heard word.
        right: whether the two are the same.
    """

    said: int | None
    heard: int | None
    right: bool


def align(said: Sequence[str], heard: Sequence[str]) -> list[Step]:
    """Return the steps from the first words to the last, with as few errors as can be (Levenshtein's distance).

    Where several alignments are as good, words are paired as late as possible.
    """
    numbers: dict[str, int] = {}
    ours = [numbers.setdefault(word, len(numbers)) for word in said]
    theirs = np.array([numbers.setdefault(word, len(numbers)) for word in heard], dtype=np.int32)
    # Each row is the distance of a beginning of `said` to all beginnings of `heard`; int16 halves an hour's memory.
    dtype = np.int16 if len(said) + len(heard) < np.iinfo(np.int16).max else np.int32
    columns = np.arange(len(heard) + 1, dtype=dtype)
    table = np.empty((len(said) + 1, len(heard) + 1), dtype=dtype)
    table[0] = columns
    for index, word in enumerate(ours, 1):
        row, above = table[index], table[index - 1]
        row[0] = index
        row[1:] = np.minimum(above[1:] + 1, above[:-1] + (theirs != word))
        # An insertion costs one for each column: the least of all starts to the left.
        row[:] = np.minimum.accumulate(row - columns) + columns
    steps = []
    i, j = len(said), len(heard)
    while i or j:
        right = bool(i and j and said[i - 1] == heard[j - 1])
        if i and j and table[i, j] == table[i - 1, j - 1] + (not right):
            i, j = i - 1, j - 1
            steps.append(Step(i, j, right))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            steps.append(Step(i, None, right=False))
        else:
            j -= 1
            steps.append(Step(None, j, right=False))
    steps.reverse()
    return steps

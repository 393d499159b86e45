"""Find repetitions at the end of a decode."""

from collections.abc import Sequence

REPEATS: tuple[tuple[int, int], ...] = (
    (1, 6),
    (2, 4),
    (3, 4),
    (4, 3),
    (5, 3),
    (6, 3),
    (8, 3),
    (10, 3),
    (12, 3),
    (16, 3),
)
"""How many copies at the end make a loop: (tokens of the pattern, copies). Speech repeats a word, rarely a clause."""


def repetition(tokens: Sequence[int]) -> int:
    """Return the length of the shortest pattern that loops at the end of ``tokens``, 0 if none does."""
    count = len(tokens)
    for length, copies in REPEATS:
        first = count - length * copies
        if first < 0:
            continue
        # A run is `copies` times one pattern when it equals itself shifted by that pattern.
        if tokens[first : count - length] == tokens[first + length : count]:
            return length
    return 0


def without_repeats(tokens: Sequence[int]) -> int:
    """Return how many of ``tokens`` remain when a loop at the end is cut to one copy."""
    length = repetition(tokens)
    count = len(tokens)
    if length == 0:
        return count
    while count >= 2 * length and tokens[count - length : count] == tokens[count - 2 * length : count - length]:
        count -= length
    return count

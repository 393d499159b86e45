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
"""How many copies at the end look like a loop, as (tokens of the pattern, copies): speech rarely repeats a clause."""

SPOKEN_TOKENS_PER_S = 6
"""Nobody repeats faster: "no, no, no" are six tokens a second."""

MOST_SPOKEN_TOKENS = 48
"""As many tokens as the longest pattern has in its least copies: more of them cost too much, whoever said them."""

LEAST_COPY_FRAMES = 4
"""A word that was spoken covers at least this many frames of 20 ms. The copies of a decoder's loop are said to lie
where nothing is left to hear, one upon the other."""


def spoken_tokens(seconds: float) -> int:
    """Return how many tokens of one repetition may be spoken in a window of this length."""
    return min(MOST_SPOKEN_TOKENS, round(SPOKEN_TOKENS_PER_S * seconds))


def repetition(tokens: Sequence[int], spoken: int = 0) -> int:
    """Return the length of the shortest pattern that loops at the end of ``tokens``, 0 if none does.

    A repetition of up to ``spoken`` tokens may have been said, and is no loop.
    """
    count = len(tokens)
    for length, copies in REPEATS:
        first = count - max(length * copies, spoken + 1)
        if first < 0:
            continue
        # A run is `copies` times one pattern when it equals itself shifted by that pattern.
        if tokens[first : count - length] == tokens[first + length : count]:
            return length
    return 0


def without_unspoken(tokens: Sequence[int], boundaries: Sequence[int]) -> int:
    """Return how many of ``tokens`` remain when a loop at the end is cut to the copies that lie apart in the audio.

    Args:
        tokens: of the text.
        boundaries: the frame at which each of them begins, and one more for the end of the last.
    """
    length = repetition(tokens)
    if not length:
        return len(tokens)
    kept = _first_copy(tokens, length)
    while kept + length <= len(tokens) and boundaries[kept + length] - boundaries[kept] >= LEAST_COPY_FRAMES:
        kept += length
    return kept


def _first_copy(tokens: Sequence[int], length: int) -> int:
    """Return where the first of the copies at the end, each of ``length`` tokens, ends."""
    count = len(tokens)
    while count >= 2 * length and tokens[count - length : count] == tokens[count - 2 * length : count - length]:
        count -= length
    return count

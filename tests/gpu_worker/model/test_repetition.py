import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.model.repetition import REPEATS, repetition, spoken_tokens, without_unspoken


@pytest.mark.parametrize(("length", "copies"), REPEATS)
def test_each_pattern_loops_at_its_number_of_copies(length, copies):
    """A pattern is a loop at its listed number of copies, and not at one fewer."""
    pattern = list(range(100, 100 + length))
    assert repetition([1, 2, 3, *pattern * copies]) == length
    assert repetition([1, 2, 3, *pattern * (copies - 1)]) == 0


def test_a_loop_must_be_at_the_end():
    """What was repeated earlier and has passed is no loop."""
    assert repetition([7] * 10 + [1, 2]) == 0


@given(st.lists(st.integers(0, 2), max_size=60))
def test_what_is_kept_is_a_beginning_without_that_loop(tokens):
    """Where no copy has a place in the audio a prefix stays: all of it when nothing loops, else with the pattern once."""
    kept = without_unspoken(tokens, [0] * (len(tokens) + 1))
    length = repetition(tokens)
    if length == 0:
        assert kept == len(tokens)
    else:
        assert length <= kept < len(tokens)
        assert tokens[kept - length : kept] != tokens[kept - 2 * length : kept - length] or kept < 2 * length


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(6, 9))
def test_copies_enough_are_always_found(before, pattern, copies):
    """Six copies of any pattern of up to six tokens are seen as a loop, of that pattern or a shorter one."""
    assert 0 < repetition([*before, *pattern * copies]) <= len(pattern)


def test_a_repetition_that_can_have_been_said_is_no_loop():
    """Up to so many tokens of it are believed, and not one more."""
    assert spoken_tokens(2.0) == 12
    assert repetition([1, *[7, 8] * 6], spoken=12) == 0
    assert repetition([1, *[7, 8] * 7], spoken=12) == 2
    assert spoken_tokens(30.0) == 48


@pytest.mark.parametrize(
    ("boundaries", "kept"),
    [
        ([0, 10, *range(20, 20 + 12 * 8, 8)], 13),  # each copy has its time
        ([0, 10, 20, 30, 40, 50, *[60] * 8], 7),  # from the sixth token on they lie upon each other
        ([0, *[10] * 13], 3),  # all of them do: one copy stays
    ],
)
def test_only_copies_with_a_place_in_the_audio_are_kept(boundaries, kept):
    """A loop is cut where its copies no longer lie apart."""
    assert without_unspoken([1, *[7, 8] * 6], boundaries) == kept


def test_what_does_not_loop_is_kept_whole():
    """Times change nothing where nothing is repeated."""
    assert without_unspoken([1, 2, 3], [0, 0, 0, 0]) == 3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.model.repetition import REPEATS, repetition, without_repeats


@pytest.mark.parametrize(("length", "copies"), REPEATS)
def test_each_pattern_loops_at_its_number_of_copies(length, copies):
    """A pattern is a loop at its listed number of copies, and not at one fewer."""
    pattern = list(range(100, 100 + length))
    assert repetition([1, 2, 3, *pattern * copies]) == length
    assert repetition([1, 2, 3, *pattern * (copies - 1)]) == 0


def test_a_loop_must_be_at_the_end():
    """What was repeated earlier and has passed is no loop."""
    assert repetition([7] * 10 + [1, 2]) == 0


def test_one_copy_of_a_loop_is_kept():
    """Cutting leaves what came before and the pattern once."""
    tokens = [1, 2, 3, *[8, 9] * 6]
    assert without_repeats(tokens) == 5
    assert without_repeats(tuple(tokens)) == 5


@given(st.lists(st.integers(0, 2), max_size=60))
def test_what_is_kept_is_a_beginning_without_that_loop(tokens):
    """Cutting keeps a prefix: all of it when nothing loops, else shorter and ending in the pattern once."""
    kept = without_repeats(tokens)
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

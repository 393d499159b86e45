"""scripts/tools/scoring: errors are counted right, and it is known how sure a rate is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.tools.scoring import (
    Score,
    difference_interval,
    equal_words,
    error_interval,
    error_rate,
    percentile,
    score,
)

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12)


def distance(said, heard):
    """Count the errors between two texts, one row of Levenshtein's table after another."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(said, 1):
        above, row = row, [index]
        for at, other in enumerate(heard):
            row.append(min(above[at + 1] + 1, row[at] + 1, above[at] + (word != other)))
    return row[-1]


@given(words, words)
def test_an_alignment_is_in_order_and_has_the_fewest_errors(said, heard):
    """Errors are as few as can be; what is called equal is, each word is so once at most, and pairs come in order."""
    scores = score([*said, ""], " ".join(heard), str.split)
    assert [one.words for one in scores] == [1] * len(said) + [0]
    assert sum(one.errors for one in scores) == distance(said, heard)
    pairs = equal_words(said, heard)
    assert all(said[ours] == heard[theirs] for ours, theirs in pairs)
    for indices in zip(*pairs, strict=True):
        assert list(indices) == sorted(set(indices))
    assert len(pairs) >= max(len(said), len(heard)) - distance(said, heard)


def test_errors_belong_to_their_utterance():
    """A word missed counts where it was said, one made up where the word before it was."""
    assert score(["a b c", "d e"], "a c d e f g", str.split) == [Score(3, 1), Score(2, 2)]


def test_words_where_nothing_is_said_are_errors():
    """Silence has no error rate, but what is heard in it is counted."""
    assert score(["", ""], "thank you", str.split) == [Score(0, 2), Score(0, 0)]
    assert error_rate([Score(0, 2)]) is None


def test_an_interval_needs_two_utterances_and_holds_the_rate():
    """The interval lies around the rate; equal utterances leave nothing to chance."""
    assert error_interval([Score(10, 1), Score(0, 3)]) is None
    interval = error_interval([Score(10, 0), Score(10, 2), Score(10, 4)])
    assert interval.value == pytest.approx(20.0)
    assert 0.0 <= interval.low < 20.0 < interval.high <= 40.0
    same = error_interval([Score(10, 1)] * 4)
    assert (same.low, same.value, same.high) == (10.0, 10.0, 10.0)


def test_a_difference_is_drawn_in_pairs():
    """What is hard for both takes no part in the difference."""
    ours, theirs = [Score(10, 1), Score(10, 9), Score(10, 4)], [Score(10, 0), Score(10, 8), Score(10, 3)]
    interval = difference_interval(ours, theirs)
    assert (interval.low, interval.value, interval.high) == (10.0, 10.0, 10.0)


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 2.5), (95, 3.85), (100, 4.0)])
def test_a_percentile_lies_between_its_neighbours(percent, value):
    """Between two values it is taken in proportion; of nothing there is none."""
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(value)
    assert percentile([], percent) is None

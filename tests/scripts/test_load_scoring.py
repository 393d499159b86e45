"""alignment, scoring and bounds: errors are counted right, and held against what was asked for."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.load.alignment import align
from scripts.load.bounds import parse_bound
from scripts.load.scoring import Score, difference_interval, error_interval, error_rate, score

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12)


@given(words.filter(bool), words)
def test_an_alignment_has_the_fewest_errors(said, heard):
    """As many steps are wrong as an independent implementation counts errors."""
    judged = jiwer.process_words(" ".join(said), " ".join(heard))
    errors = judged.substitutions + judged.deletions + judged.insertions
    assert sum(not step.right for step in align(said, heard)) == errors


@given(words, words)
def test_an_alignment_takes_each_word_once_in_order(said, heard):
    """All words of both texts are there, in order, and only equal ones are called right."""
    steps = align(said, heard)
    assert [step.said for step in steps if step.said is not None] == list(range(len(said)))
    assert [step.heard for step in steps if step.heard is not None] == list(range(len(heard)))
    pairs = [step for step in steps if step.said is not None and step.heard is not None]
    assert all(step.right == (said[step.said] == heard[step.heard]) for step in pairs)
    assert not any(step.right for step in steps if step not in pairs)


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


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("lag<=1.5", 1.5, True),
        ("lag<1.5", 1.5, False),
        ("lag >= -2", -1.0, True),
        ("4:lag>3", 3.0, False),
        ("lag<=1", None, False),
    ],
)
def test_a_bound_is_held(text, value, met):
    """A figure is compared as was asked; one that is unknown meets nothing."""
    assert parse_bound(text, ["lag"]).met({"lag": value}) is met


def test_a_bound_may_concern_one_load():
    """With a number in front only that many streams are meant."""
    assert [parse_bound("16:lag<=1", ["lag"]).concerns(count) for count in (1, 16)] == [False, True]
    assert parse_bound("lag<=1", ["lag"]).concerns(1)


@pytest.mark.parametrize("text", ["lag", "lag<=", "lag=1", "delay<=1", "x:lag<=1", "lag<=1s"])
def test_a_wrong_bound_is_refused(text):
    """A typing error must not pass as a bound that is met."""
    with pytest.raises(ValueError, match="lag"):
        parse_bound(text, ["lag"])

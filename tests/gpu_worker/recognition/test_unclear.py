from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.accounting.unclear import UnclearFinder
from gpu_worker.recognition.endpointer import Utterance
from gpu_worker.recognition.hypothesis import TailWord
from shared.messages import CommittedToken
from tests.gpu_worker.recognition.driver import POLICY, timed, window_result

S = 16_000
REACH = POLICY.flush_stall_samples


def word(start, end, text=" a") -> TailWord:
    return TailWord(text, 1, start, end, -0.1, 0.9)


def found(finder, onset, last_speech, *, until=None, over=True):
    until = last_speech if until is None else until
    return [(each.start, each.end) for each in finder.decide(Utterance(onset, 0, last_speech), until, over=over)]


def test_speech_that_is_far_from_every_word_is_unclear():
    """Before, between and after words; what is near one is not, nor a pause between two."""
    finder = UnclearFinder(0, POLICY)
    finder.on_words((word(3 * S, 4 * S), word(5 * S, 6 * S), word(10 * S, 11 * S)))
    assert found(finder, S, 13 * S) == [(S, 2 * S), (7 * S, 9 * S), (12 * S, 13 * S)]


def test_a_word_covers_no_more_than_words_do():
    """A mark or a word that is stretched over what the decoder left out hides nothing."""
    finder = UnclearFinder(0, POLICY)
    finder.on_words((word(0, S), word(S, 30 * S, "."), word(10 * S, 30 * S)))
    assert found(finder, 0, 30 * S) == [(S + REACH, 9 * S), (10 * S + POLICY.word_span_samples + REACH, 30 * S)]


@pytest.mark.parametrize(
    ("result", "shown", "cause"),
    [
        (None, True, "not_decoded"),
        (window_result(), True, "no_words"),
        (window_result(timed((" a", 1.0)), looped=True), True, "repetition"),
        (window_result(timed((" a", 1.0))), False, "hidden"),
        (window_result(timed((" a", 1.0))), True, "uncovered"),
    ],
)
def test_the_cause_is_that_of_the_last_decode(result, shown, cause):
    """Each way in which speech can bring no word has a name, and the next utterance begins without one."""
    finder = UnclearFinder(0, POLICY)
    if result:
        finder.on_decode(result, shown=shown)
    assert [each.cause for each in finder.decide(Utterance(0, 0, S), S, over=True)] == [cause]
    assert [each.cause for each in finder.decide(Utterance(2 * S, 0, 3 * S), 3 * S, over=True)] == ["not_decoded"]


def test_another_workers_words_cover_speech():
    """A moved utterance does not become unclear where its first worker had found words."""
    finder = UnclearFinder(0, POLICY)
    finder.resume((CommittedToken(1, S), CommittedToken(2, 2 * S)))
    assert found(finder, 0, 3 * S) == []


def test_the_words_of_one_utterance_cover_no_other():
    """A cough soon after a sentence is an utterance of its own."""
    finder = UnclearFinder(0, POLICY)
    finder.on_words((word(0, S),))
    assert found(finder, 0, S) == []
    assert found(finder, S + 8_000, 2 * S) == [(S + 8_000, 2 * S)]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(0, 30),
    st.integers(0, 60),
)
def test_stretches_are_in_order_apart_and_agree_with_a_plain_count(gaps, cuts, onset, last):
    """However a window is cut on the way, second by second the same speech is unclear."""
    finder, words, at = UnclearFinder(0, POLICY), [], 0
    for gap, length in gaps:
        at += gap
        words.append((at, at + min(length, 1)))
        at = words[-1][1]
    told, said = [], 0
    for cut in [*sorted(cuts), None]:
        # A window is cut at the end of a committed word, and every word before it is committed.
        ready = [each for each in words[said:] if cut is None or each[0] <= cut]
        said += len(ready)
        finder.on_words(tuple(word(start * S, end * S) for start, end in ready))
        until = (last if cut is None else max([0, *(end for _, end in words[:said] if end <= cut)])) * S
        told += found(finder, onset * S, last * S, until=until, over=cut is None)
    assert all(one[1] <= two[0] for one, two in pairwise(told))
    covered = {second for start, end in words for second in range(start - 1, end + 1)}
    plain = [second for second in range(onset, last) if second not in covered]
    assert sorted(second for start, end in told for second in range(start // S, end // S)) == plain

from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.local_agreement import agreed
from tests.gpu_worker.recognition.driver import POLICY

FAST, SLOW = 8_000, 16_000
END = 160_000


def word(text: str, before_end_s: float, weakest: float = -0.1, space: str = " ") -> TailWord:
    end = END - round(before_end_s * 16_000)
    return TailWord(space + text, 0, end - 3_000, end, weakest, 0.9)


def count(tail, previous=(), cadence=FAST):
    return agreed(tail, previous, end=END, cadence=cadence, policy=POLICY)


def test_words_two_hypotheses_agree_on_are_committed():
    """Agreement counts from the first open word on and stops at the first difference."""
    tail = [word("one", 3.0), word("two", 2.0), word("too", 1.5), word("four", 0.8)]
    assert count(tail, ["one", "two", "three", "four"]) == 2


def test_case_and_space_do_not_matter():
    """Words are compared by their stripped lower-case text."""
    assert count([word("One", 3.0), word("x", 0.1)], ["one"]) == 1


def test_a_word_near_the_end_stays_open_although_agreed():
    """What ends within the margin before the window's end may still change; the margin is shorter at a slow cadence."""
    tail = [word("one", 0.25), word("two", 0.1)]
    assert count(tail, ["one", "two"], FAST) == 0
    assert count(tail, ["one", "two"], SLOW) == 1


def test_a_confident_word_passes_alone_at_a_slow_cadence_only():
    """Without agreement a word needs confidence and distance, and a slow cadence."""
    tail = [word("one", 2.0), word("two", 0.5), word("three", 0.1)]
    assert count(tail, cadence=SLOW) == 2
    assert count(tail, cadence=FAST) == 0


def test_an_unsure_word_stops_the_ones_after_it():
    """A weak token blocks its word and all later ones, however sure these are."""
    tail = [word("one", 3.0), word("two", 2.0, weakest=-0.6), word("three", 1.0)]
    assert count(tail, cadence=SLOW) == 1


def test_an_unsure_word_passes_by_agreement():
    """Agreement is enough, at any cadence."""
    tail = [word("one", 3.0, weakest=-4.0), word("two", 0.1)]
    assert count(tail, ["one"], SLOW) == 1
    assert count(tail, ["one"], FAST) == 1


def test_in_a_backlog_distance_is_enough():
    """Where the audio that follows is known already, a word well before the window's end passes as it is."""
    tail = [word("one", 2.0, weakest=-4.0), word("two", 1.6, weakest=-4.0), word("three", 1.4, weakest=-4.0)]
    assert count(tail, cadence=48_000) == 2
    assert count(tail, cadence=47_999) == 0


def test_agreement_does_not_skip_a_difference():
    """A word that agrees behind one that differs is not agreed: its place in the sentence is not."""
    tail = [word("won", 3.0), word("two", 2.0, weakest=-2.0), word("x", 0.1)]
    assert count(tail, ["one", "two"], SLOW) == 1


def test_the_last_word_stays_open_near_the_end():
    """The last word of a hypothesis may be half of one: it stays open longer, unless it ends well before."""
    assert count([word("one", 0.5)], ["one"], SLOW) == 0
    assert count([word("one", 0.7)], ["one"], SLOW) == 1


def test_a_compound_is_final_as_a_whole():
    """Nothing is committed to which an open part still belongs; scripts without spaces do not wait for any."""
    tail = [word("is", 3.0), word("cold", 0.8), word("-hearted", 0.1, space="")]
    assert count(tail, ["is", "cold", "-hearted"]) == 1
    assert count([*tail[:2], word("hearted", 0.1)], ["is", "cold", "hearted"]) == 2
    assert count([word("私", 3.0, space=""), word("は", 0.1, space="")], ["私", "は"]) == 1


def test_nothing_open_commits_nothing():
    """An empty hypothesis agrees with everything and commits nothing."""
    assert count([], ["one"]) == 0


words = st.builds(
    word, st.sampled_from(["a", "b"]), st.floats(0.0, 3.0, allow_nan=False), st.sampled_from([-0.1, -0.6, -2.0])
)


@given(st.lists(words, max_size=8), st.lists(st.sampled_from(["a", "b"]), max_size=8), st.sampled_from([FAST, SLOW]))
def test_only_a_prefix_is_committed_and_each_word_has_a_reason(tail, previous, cadence):
    """Whatever the hypotheses are, each committed word is agreed or confident, and none is near the end."""
    number = count(tail, previous, cadence)
    for index, item in enumerate(tail[:number]):
        same = [each.key for each in tail[: index + 1]] == list(previous[: index + 1])
        assert same or (cadence == SLOW and item.weakest >= POLICY.confident_logprob)
        assert item.end <= END - POLICY.agreed_margin_samples
    assert count(tail, [each.key for each in tail], cadence) >= number

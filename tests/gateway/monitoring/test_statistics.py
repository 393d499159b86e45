"""How soon words came: what is made of a session's audio and of its steps, with the clock in hand."""

import pytest

from gateway.monitoring.statistics import Statistics
from gateway.placement.events import StepTaken
from gateway.sessions.arrival_times import ArrivalTimes
from tests.gateway.builders import S, closed, hypothesis, resume, word


@pytest.fixture
def arrival_times():
    """Give a session's audio that arrives a second at a time: the n-th second at 100 + n."""
    arrival_times = ArrivalTimes()
    for second in range(1, 11):
        arrival_times.note(second * S, 100.0 + second)
    return arrival_times


@pytest.fixture
def statistics():
    """Give statistics of nothing yet."""
    return Statistics()


@pytest.fixture
def step(statistics, arrival_times):
    """Give a function that takes a step's result on GPU 2."""
    return lambda hypothesis, before, now: statistics.observe(StepTaken("a", 2, hypothesis, before, arrival_times, now))


def measured(statistics, figure) -> tuple[int, float, float] | None:
    """Return how often a figure was measured on GPU 2, its least and its greatest value; None if never."""
    sketch = statistics.latencies.ever().get((2, figure))
    return (sketch.count, sketch.low, sketch.high) if sketch else None


def test_the_first_word_counts_from_the_arrival_of_its_audio(statistics, step):
    """The first text of a session is timed once, from when the window in which it is said began to arrive."""
    step(hypothesis(decoded=2 * S), 0, 102.5)
    assert measured(statistics, "first_word") is None
    step(hypothesis(tail=" hel", decoded=4 * S, resume=resume(0, window_start=2 * S)), 2 * S, 104.5)
    step(hypothesis(word(" hello", 2.5, 3.5), decoded=5 * S), 4 * S, 106.0)
    assert measured(statistics, "first_word") == (1, 1.5, 1.5)


def test_a_first_word_that_is_committed_at_once_counts_from_its_start(statistics, step):
    """Without a tail before it, the word's own first sample is what had to arrive."""
    step(hypothesis(word(" hello", 3.5, 4.0), decoded=6 * S), 0, 106.5)
    assert measured(statistics, "first_word") == (1, 2.5, 2.5)


def test_each_word_and_each_step_counts(statistics, step):
    """Commit latency is from a word's end, lag from the newest audio used; a step that decodes nothing new has none."""
    step(hypothesis(word(" one", 0.2, 1.0), word(" two", 1.0, 2.5), decoded=4 * S), 0, 105.0)
    assert measured(statistics, "commit") == (2, 2.0, 4.0)
    assert measured(statistics, "audio_to_text_lag") == (1, 1.0, 1.0)
    step(hypothesis(word(" three", 3.0, 4.0), decoded=4 * S), 4 * S, 106.0)
    assert measured(statistics, "commit") == (3, 2.0, 4.0)
    assert measured(statistics, "audio_to_text_lag") == (1, 1.0, 1.0)


def test_a_session_that_is_gone_is_forgotten(statistics, step):
    """What is kept about sessions ends with them: another one of that name has a first word again."""
    step(hypothesis(tail=" hel", decoded=S), 0, 101.5)
    statistics.observe(closed("a"))
    step(hypothesis(tail=" hel", decoded=S), 0, 101.5)
    assert measured(statistics, "first_word")[0] == 2

"""How soon words came: what the records make of a session's audio and of its steps, with the clock in hand."""

import pytest

from gateway.auth.client_auth import read_parameters
from gateway.monitoring.log_observer import Records
from gateway.monitoring.statistics import Statistics
from gateway.sessions.client_session import Conversation
from tests.gateway.builders import S, bounds, hypothesis, resume, word


@pytest.fixture
def conversation():
    """Give a session whose audio arrives a second at a time: the n-th second at 100 + n."""
    conversation = Conversation("a", read_parameters({}), owner=None, arrived=100.0, bounds=bounds())
    for second in range(1, 11):
        conversation.arrivals.note(second * S, 100.0 + second)
    return conversation


@pytest.fixture
def records():
    """Give records of nothing yet."""
    return Records(Statistics())


def measured(records, figure) -> tuple[int, float, float] | None:
    """Return how often a figure was measured on GPU 2, its least and its greatest value; None if never."""
    sketch = records.statistics.latencies.ever().get((2, figure))
    return (sketch.count, sketch.low, sketch.high) if sketch else None


def test_the_first_word_counts_from_the_arrival_of_its_audio(conversation, records):
    """The first text of a session is timed once, from when the window in which it is said began to arrive."""
    silent = hypothesis(decoded=2 * S)
    records.recognized(conversation, silent, 0, 2, 102.5)
    assert measured(records, "first_word") is None
    tail = hypothesis(tail=" hel", decoded=4 * S, resume=resume(0, window_start=2 * S))
    records.recognized(conversation, tail, 2 * S, 2, 104.5)
    records.recognized(conversation, hypothesis(word(" hello", 2.5, 3.5), decoded=5 * S), 4 * S, 2, 106.0)
    assert measured(records, "first_word") == (1, 1.5, 1.5)


def test_a_first_word_that_is_committed_at_once_counts_from_its_start(conversation, records):
    """Without a tail before it, the word's own first sample is what had to arrive."""
    records.recognized(conversation, hypothesis(word(" hello", 3.5, 4.0), decoded=6 * S), 0, 2, 106.5)
    assert measured(records, "first_word") == (1, 2.5, 2.5)


def test_each_word_and_each_step_counts(conversation, records):
    """Commit latency is from a word's end, lag from the newest audio used; a step that decodes nothing new has none."""
    words = word(" one", 0.2, 1.0), word(" two", 1.0, 2.5)
    records.recognized(conversation, hypothesis(*words, decoded=4 * S), 0, 2, 105.0)
    assert measured(records, "commit") == (2, 2.0, 4.0)
    assert measured(records, "audio_to_text_lag") == (1, 1.0, 1.0)
    records.recognized(conversation, hypothesis(word(" three", 3.0, 4.0), decoded=4 * S), 4 * S, 2, 106.0)
    assert measured(records, "commit") == (3, 2.0, 4.0)
    assert measured(records, "audio_to_text_lag") == (1, 1.0, 1.0)


def test_a_session_that_is_gone_is_forgotten(conversation, records):
    """What is kept about sessions ends with them."""
    records.recognized(conversation, hypothesis(tail=" hel", decoded=S), 0, 2, 101.5)
    records.closed(conversation, 102.0)
    assert not records._spoke

import pytest

from gpu_worker.recognition.endpointer import Utterance
from gpu_worker.recognition.planner import Progress, ends_without_decode, next_decode
from gpu_worker.recognition.window import Window
from tests.gpu_worker.recognition.driver import POLICY

S = 16_000


def plan(*, start=0.0, asked=0.0, judged=0.0, received=None, last_speech=None, end=None, period=0.5, decoded=True):
    """Return the plan for a situation in seconds as (end, final, cadence), or None."""
    utterance = Utterance(
        onset=round(start * S),
        start=round(start * S),
        last_speech=round((judged if last_speech is None else last_speech) * S),
        end=None if end is None else round(end * S),
    )
    window = Window(round(start * S), asked_until=round(asked * S), decoded=decoded)
    progress = Progress(round((judged if received is None else received) * S), round(judged * S))
    found = next_decode(utterance, window, progress, round(period * S), POLICY)
    return found and (found.end / S, found.final, found.cadence / S)


def test_a_decode_is_due_after_a_period_of_new_audio():
    """Until then there is nothing to do; the window reaches to the newest sample."""
    assert plan(asked=1.0, judged=1.4) is None
    assert plan(asked=1.0, judged=1.5) == (1.5, False, 0.5)
    assert plan(asked=1.0, judged=1.49, received=1.51) == (1.51, False, 0.51)


def test_a_late_step_is_a_bigger_step():
    """All audio goes in; the cadence tells how big the step was."""
    assert plan(asked=1.0, judged=3.5) == (3.5, False, 2.5)
    assert plan(asked=1.0, judged=3.5, period=2.0) == (3.5, False, 2.5)


def test_in_a_pause_that_was_decoded_nothing_is_due():
    """A silence that may become the end costs nothing if the last decode covered the speech before it."""
    assert plan(asked=1.2, judged=2.0, last_speech=1.05) is None
    assert plan(asked=1.1, judged=2.0, last_speech=1.05) == (2.0, False, 0.9)
    assert plan(asked=1.2, judged=1.9, last_speech=1.75) == (1.9, False, 0.7)


def test_the_end_of_an_utterance_is_decoded_at_once():
    """At an endpoint no period is waited for."""
    assert plan(asked=1.0, judged=1.8, end=1.2, last_speech=1.05) == (1.2, True, 0.5)


@pytest.mark.parametrize(
    ("end_s", "asked_s", "state", "covered"),
    [
        (1.3, 1.1, {"decoded": True}, True),
        (1.3, 1.1, {"decoded": True, "trusted": False}, False),
        (1.3, 1.1, {}, False),
        (1.3, 1.05, {"decoded": True}, False),
        (None, 1.1, {"decoded": True}, False),
        (1.0, 1.0, {"decoded": True}, True),
    ],
)
def test_the_end_needs_no_decode_if_the_last_one_covered_it(end_s, asked_s, state, covered):
    """Half of all endpoints need none; a hidden or looping hypothesis does, and one that ended with the speech in audio that goes on."""
    utterance = Utterance(0, 0, last_speech=S, end=None if end_s is None else round(end_s * S))
    window = Window(0, asked_until=round(asked_s * S), **state)
    assert ends_without_decode(utterance, window, POLICY) == covered


def test_too_short_a_rest_is_not_decoded():
    """Less than a tenth of a second holds no word: it is not decoded, and an utterance may end there without a decode."""
    utterance = Utterance(0, 0, last_speech=1_000, end=1_500)
    assert ends_without_decode(utterance, Window(0, asked_until=0), POLICY)
    assert plan(start=1.0, asked=1.0, judged=1.09, period=0.01, decoded=False) is None


def test_a_backlog_waits_for_endpointing():
    """With much audio not judged yet there may be an endpoint ahead: judge it before decoding."""
    assert plan(judged=5.0, received=40.0) is None
    assert plan(judged=12.0, received=40.0) == (12.0, False, 12.0)


def test_a_backlog_is_decoded_in_windows_of_the_best_length():
    """A long utterance is not decoded in one, nor in periods."""
    assert plan(judged=20.0) == (12.0, False, 12.0)
    assert plan(judged=20.0, asked=12.0) == (16.0, False, 4.0)
    assert plan(judged=40.0, asked=25.0) == (27.0, False, 2.0)


def test_an_ended_utterance_is_decoded_in_one_or_in_parts():
    """Up to the flush length in one window, else in windows of the best length."""
    assert plan(judged=30.0, end=15.5) == (15.5, True, 15.5)
    assert plan(judged=30.0, end=25.0) == (12.0, False, 12.0)
    assert plan(judged=30.0, end=25.0, asked=22.0) == (25.0, True, 3.0)

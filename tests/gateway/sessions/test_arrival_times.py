"""When audio arrived, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.sessions.arrival_times import RESOLUTION, ArrivalTimes
from tests.gateway.builders import S


def test_audio_is_as_old_as_its_message():
    """Each position is as old as the message that brought its last sample; unknown ones have no age."""
    arrivals = ArrivalTimes()
    arrivals.note(S, 1.0)
    arrivals.note(3 * S, 2.5)
    assert arrivals.age_s(S, 5.0) == 4.0
    assert arrivals.age_s(S + 1, 5.0) == 2.5
    assert arrivals.age_s(3 * S, 5.0) == 2.5
    assert arrivals.age_s(3 * S + 1, 5.0) is None
    assert arrivals.age_s(0, 5.0) is None


def test_forgotten_audio_has_no_age():
    """What the journal has dropped takes no memory; the rest keeps its time."""
    arrivals = ArrivalTimes()
    for second in range(1, 61):
        arrivals.note(second * S, float(second))
    arrivals.forget(58 * S)
    assert len(arrivals) == 3
    assert arrivals.age_s(57 * S, 60.0) is None
    assert arrivals.age_s(59 * S, 60.0) == 1.0
    arrivals.check()


def test_tiny_messages_are_joined_but_not_across_a_pause():
    """A client that sends sample by sample costs one mark in 20 ms; after a pause audio is as old as it is."""
    arrivals = ArrivalTimes()
    for end in range(1, RESOLUTION + 1):
        arrivals.note(end, 1.0 + end / S)
    assert len(arrivals) == 1
    arrivals.note(RESOLUTION + 1, 2.0)
    arrivals.note(2 * S, 9.0)
    assert arrivals.age_s(2 * S, 9.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1), st.booleans()), max_size=60))
def test_an_age_is_never_understated(steps):
    """However audio comes and is forgotten, a position's age is that of its own message or a little more."""
    arrivals, truth, end, now = ArrivalTimes(), {}, 0, 0.0
    for size, pause_s, forgets in steps:
        now += pause_s
        end += size
        arrivals.note(end, now)
        if size:
            truth[end] = now
        if forgets:
            arrivals.forget(end // 2)
            truth = {position: at for position, at in truth.items() if position > end // 2}
        arrivals.check()
    for position, at in truth.items():
        assert arrivals.age_s(position, now + 1.0) >= now + 1.0 - at - 1e-9

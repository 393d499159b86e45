"""recovery and timeline: when a lost connection is tried again, and where a fresh session stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client.messages import Ack, Config, Final, FinalWord, Line, Partial, Status, Update
from scripts.client.recovery import Ending, Recovery
from scripts.client.timeline import Timeline

BROKEN = Ending(close_code=1006)


def test_the_delay_doubles_up_to_five_seconds():
    """Tries follow each other ever more slowly."""
    recovery = Recovery(1000)
    delays = [recovery.delay_s(BROKEN, 0.0, 1.0) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


@given(st.floats(0, 1), st.integers(0, 200))
def test_the_delay_is_spread(chance, tries):
    """Chance takes away up to half of a delay, however many there were."""
    recovery, other = Recovery(1e9), Recovery(1e9)
    for _ in range(tries):
        recovery.delay_s(BROKEN, 0.0, 0.0)
        other.delay_s(BROKEN, 0.0, 0.0)
    longest = other.delay_s(BROKEN, 0.0, 1.0)
    assert longest / 2 <= recovery.delay_s(BROKEN, 0.0, chance) <= longest <= 5.0


def test_a_loss_has_a_bound():
    """The last try is at the bound, and a connection without progress does not move it; progress does."""
    recovery = Recovery(10)
    assert recovery.delay_s(BROKEN, 100.0, 1.0) == 0.2
    assert recovery.left_s(104.0) == 6.0
    assert recovery.delay_s(BROKEN, 109.9, 1.0) == pytest.approx(0.1)
    assert recovery.delay_s(BROKEN, 110.0, 1.0) is None
    recovery.progressed()
    assert recovery.delay_s(BROKEN, 110.0, 1.0) == 0.2


@pytest.mark.parametrize(
    ("ending", "tried"),
    [
        (Ending(close_code=1006), True),
        (Ending(close_code=1012), True),
        (Ending(close_code=1001), True),
        (Ending(), True),
        (Ending(http_status=503), True),
        (Ending(http_status=429), True),
        (Ending(close_code=1013), True),
        (Ending(close_code=1013, begun=False), False),
        (Ending(close_code=1000), False),
        (Ending(close_code=1011), False),
        (Ending(close_code=4400), False),
        (Ending(close_code=4401), False),
        (Ending(close_code=4409), False),
        (Ending(http_status=401), False),
        (Ending(http_status=404), False),
    ],
)
def test_what_is_tried_again(ending, tried):
    """A broken connection is tried again, a decision of the server is not; without a bound nothing is."""
    assert (Recovery(10).delay_s(ending, 0.0, 1.0) is not None) == tried
    assert Recovery(0).delay_s(ending, 0.0, 1.0) is None


def test_a_full_server_says_when():
    """The server's own delay is waited for, within the bound."""
    full = Ending(close_code=1013, retry_after_s=7.0)
    recovery = Recovery(10)
    assert recovery.delay_s(full, 0.0, 0.0) == 7.0
    assert recovery.delay_s(full, 8.0, 0.0) == 2.0


def test_a_later_session_on_the_first_time_line():
    """Positions, times and segment numbers are shifted, and nothing else."""
    timeline = Timeline(16_000, 5)
    word = FinalWord(" a", 0.1, 0.2, 0.5)
    line = Line("a", 0.1, 0.2, silence=False, language=None)
    assert timeline.place(Ack(3, 100, 50)) == Ack(3, 16_100, 16_050)
    assert timeline.place(Partial(4, 0, "a", "b", 0.5, 0.75)) == Partial(4, 5, "a", "b", 1.5, 1.75)
    assert timeline.place(Final(5, 1, "a", 0.1, 0.2, (word,), "en")) == Final(
        5, 6, "a", 1.1, 1.2, (FinalWord(" a", 1.1, 1.2, 0.5),), "en"
    )
    update = Update("active_transcription", (line,), "b", "", "", None)
    assert timeline.place(update).lines == (Line("a", 1.1, 1.2, silence=False, language=None),)
    assert timeline.place(Config(1, resumed=True, received=7)).received == 16_007
    assert timeline.place(Config(1, resumed=False, received=0)).received == 0
    assert timeline.place(Status(2, "Connected", None)) == Status(2, "Connected", None)

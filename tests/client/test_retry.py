"""retry, and `shift`: when a lost connection is tried again, and where a fresh session stands."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper_live_client.events import Ack, Config, Final, FinalWord, Line, Partial, Status, Update
from whisper_live_client.reconnect.resilient_connection import shift
from whisper_live_client.reconnect.retry import Disconnect, RetryPolicy

BROKEN = Disconnect(close_code=1006)


def test_the_delay_doubles_up_to_five_seconds():
    """Tries follow each other ever more slowly."""
    policy = RetryPolicy(1000)
    delays = [policy.delay_s(BROKEN, 0.0, 1.0) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


@given(st.floats(0, 1), st.integers(0, 200))
def test_the_delay_is_spread(chance, tries):
    """Chance takes away up to half of a delay, however many there were."""
    policy, other = RetryPolicy(1e9), RetryPolicy(1e9)
    for _ in range(tries):
        policy.delay_s(BROKEN, 0.0, 0.0)
        other.delay_s(BROKEN, 0.0, 0.0)
    longest = other.delay_s(BROKEN, 0.0, 1.0)
    assert longest / 2 <= policy.delay_s(BROKEN, 0.0, chance) <= longest <= 5.0


def test_a_loss_has_a_bound():
    """The last try is at the bound, and a connection without progress does not move it; progress does."""
    policy = RetryPolicy(10)
    assert policy.delay_s(BROKEN, 100.0, 1.0) == 0.2
    assert policy.remaining_s(104.0) == 6.0
    assert policy.delay_s(BROKEN, 109.9, 1.0) == pytest.approx(0.1)
    assert policy.delay_s(BROKEN, 110.0, 1.0) is None
    policy.reset()
    assert policy.delay_s(BROKEN, 110.0, 1.0) == 0.2


@pytest.mark.parametrize(
    ("disconnect", "tried"),
    [
        (Disconnect(close_code=1006), True),
        (Disconnect(close_code=1012), True),
        (Disconnect(close_code=1001), True),
        (Disconnect(), True),
        (Disconnect(http_status=503), True),
        (Disconnect(http_status=429), True),
        (Disconnect(close_code=1013), True),
        (Disconnect(close_code=1013, was_ready=False), False),
        (Disconnect(close_code=1000), False),
        (Disconnect(close_code=1011), False),
        (Disconnect(close_code=4400), False),
        (Disconnect(close_code=4401), False),
        (Disconnect(close_code=4409), False),
        (Disconnect(http_status=401), False),
        (Disconnect(http_status=404), False),
    ],
)
def test_what_is_tried_again(disconnect, tried):
    """A broken connection is tried again, a decision of the server is not; without a bound nothing is."""
    assert (RetryPolicy(10).delay_s(disconnect, 0.0, 1.0) is not None) == tried
    assert RetryPolicy(0).delay_s(disconnect, 0.0, 1.0) is None


def test_a_full_server_says_when():
    """The server's own delay is waited for, within the bound."""
    full = Disconnect(close_code=1013, retry_after_s=7.0)
    policy = RetryPolicy(10)
    assert policy.delay_s(full, 0.0, 0.0) == 7.0
    assert policy.delay_s(full, 8.0, 0.0) == 2.0


def test_a_later_session_on_the_first_time_line():
    """Positions, times and segment numbers are shifted, and nothing else."""
    later = partial(shift, first_sample=16_000, first_segment=5)
    word = FinalWord(" a", 0.1, 0.2, 0.5)
    line = Line("a", 0.1, 0.2, silence=False, language=None)
    assert later(Ack(3, 100, 50)) == Ack(3, 16_100, 16_050)
    assert later(Partial(4, 0, "a", "b", 0.5, 0.75)) == Partial(4, 5, "a", "b", 1.5, 1.75)
    assert later(Final(5, 1, "a", 0.1, 0.2, (word,), "en")) == Final(
        5, 6, "a", 1.1, 1.2, (FinalWord(" a", 1.1, 1.2, 0.5),), "en"
    )
    update = Update(None, "active_transcription", (line,), "b", "", "", None)
    assert later(update).lines == (Line("a", 1.1, 1.2, silence=False, language=None),)
    assert later(Config(1, resumed=True, received=7)).received == 16_007
    assert later(Config(1, resumed=False, received=0)).received == 0
    assert later(Status(2, "Connected", None)) == Status(2, "Connected", None)

import pytest

from gpu_worker.cadence import Cadence
from shared.messages import BATCH_BOUNDS, STEP_BOUNDS_S


def fed(cadence: Cadence, took_s: float, steps: int, *, windows: int = 1, speaking: int = 1) -> float:
    for _ in range(steps):
        cadence.stepped(took_s, windows, speaking)
    return cadence.period_s


def test_the_period_stretches_with_load_and_shrinks_again():
    """From 0.5 s to 2 s while rounds take long, and back when they do not."""
    cadence = Cadence(0.5, 2.0)
    assert cadence.period_s == 0.5
    assert fed(cadence, 3.0, 20) == 2.0
    assert fed(cadence, 0.05, 20) == 0.5


def test_between_the_bounds_it_follows_a_round_with_headroom():
    """A round that takes 0.8 s is worth a period of 1 s."""
    assert fed(Cadence(0.5, 2.0), 0.8, 50) == pytest.approx(1.0, abs=0.01)


def test_a_round_is_all_who_want_steps():
    """A step over one of four streams is a quarter of a round."""
    assert fed(Cadence(0.5, 2.0), 0.2, 50, windows=1, speaking=4) == pytest.approx(1.0, abs=0.01)
    assert fed(Cadence(0.5, 2.0), 0.2, 50, windows=4, speaking=4) == 0.5


def test_one_slow_step_is_no_load():
    """A single outlier moves the period a little, not to its bound."""
    cadence = Cadence(0.5, 2.0)
    fed(cadence, 0.1, 20)
    assert fed(cadence, 2.0, 1) < 1.0


def test_the_median_is_of_recent_steps():
    """Before the first step it is 0; afterwards a stuck step is measured against it."""
    cadence = Cadence(0.5, 2.0)
    assert cadence.median_step_s == 0.0
    for took_s in (0.1, 0.3, 0.2):
        cadence.stepped(took_s, 1, 1)
    assert (cadence.median_step_s, cadence.steps) == (0.2, 3)


def test_every_step_is_counted_by_its_length_and_its_streams():
    """What heartbeats tell is the count since the start, however old the steps are."""
    cadence = Cadence(0.5, 2.0)
    fed(cadence, 0.15, 150, windows=3)
    fed(cadence, 99.0, 2, windows=1)
    times, batches = cadence.step_s.tally(), cadence.batches.tally()
    assert times.counts[STEP_BOUNDS_S.index(0.2)] == 150
    assert (times.counts[-1], sum(times.counts), times.sum) == (2, 152, pytest.approx(220.5))
    assert batches.counts[BATCH_BOUNDS.index(3)] == 150
    assert (batches.counts[BATCH_BOUNDS.index(1)], batches.sum) == (2, 452)

"""Percentiles in bounded memory: how far off they may be, and what the last minutes are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitoring.quantiles import SLICE_S, SLICES, Latencies, Sketch, total

VALUES = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=60)


def sketch(values) -> Sketch:
    """Return a sketch of these values."""
    found = Sketch()
    for value in values:
        found.observe(value)
    found.check()
    return found


def nearest_rank(values, share) -> float:
    """Return the percentile by its definition."""
    return sorted(values)[max(1, math.ceil(round(share * len(values), 6))) - 1]


@given(VALUES, st.sampled_from([0.0, 0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_two_per_cent(values, share):
    """Of the least value with that share at or below it, for any values."""
    assert sketch(values).percentile(share) == pytest.approx(nearest_rank(values, share), rel=0.0201)


@given(VALUES)
def test_the_ends_are_exact(values):
    """No percentile is outside what occurred; a single value is all of them."""
    found = sketch(values)
    assert min(values) <= found.percentile(0.0) <= found.percentile(1.0) <= max(values)
    assert sketch(values[:1]).percentile(0.5) == values[0]


@given(VALUES, VALUES)
def test_sketches_add_up(some, others):
    """Two added give what one of all values gives."""
    both, one = total([sketch(some), sketch(others)]), sketch(some + others)
    both.check()
    assert both.count == one.count
    assert all(both.percentile(share) == one.percentile(share) for share in (0.1, 0.5, 0.99))


def test_nothing_measured_has_no_percentile():
    """None, and not 0; 0 itself is a value."""
    assert sketch([]).percentile(0.5) is None
    assert sketch([0.0, 0.0]).percentile(0.5) == 0.0


def test_a_million_values_cost_what_a_few_do():
    """From a tenth of a millisecond to an hour there are some hundred buckets, whatever is counted."""
    found = sketch([1e-4 * 1.001**n for n in range(17_500)])
    assert found.count == 17_500
    assert len(found.buckets) < 460


def test_the_last_minutes_forget_by_the_minute():
    """A value is seen for nine to ten minutes, then only in what was ever measured."""
    latencies = Latencies()
    latencies.observe("commit", 2, 1.0, 100.0)
    latencies.observe("commit", 2, 3.0, 100.0 + 5 * SLICE_S)
    for now, count in ((100.0, 2), (60.0 + SLICES * SLICE_S - 0.1, 2), (60.0 + SLICES * SLICE_S, 1), (9999.0, 0)):
        assert latencies.lately(now)[2, "commit"].count == count, now
    assert latencies.ever()[2, "commit"].count == 2


def test_a_days_slices_are_bounded():
    """However long the gateway runs, ten slices are kept of each figure."""
    latencies = Latencies()
    for minute in range(1000):
        latencies.observe("flush", 0, 0.5, minute * SLICE_S)
    assert latencies.lately(999 * SLICE_S)[0, "flush"].count == SLICES
    assert latencies.ever()[0, "flush"].count == 1000

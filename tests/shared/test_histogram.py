"""Histograms with fixed bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.histogram import Histogram, Histograms
from shared.messages import HistogramCounts


@given(st.lists(st.floats(0, 100)), st.sets(st.floats(0, 100), min_size=1))
def test_buckets_hold_what_a_plain_count_says(values, bounds):
    """For any values and bounds each bucket has the values that are not larger, the last one all."""
    histogram = Histogram(sorted(bounds))
    for value in values:
        histogram.observe(value)
    histogram.check()
    buckets = histogram.buckets()
    assert [name for name, _ in buckets] == [*map(str, sorted(bounds)), "+Inf"]
    for name, count in buckets:
        assert count == sum(value <= float(name) for value in values)
    assert (histogram.count, histogram.sum) == (len(values), pytest.approx(sum(values)))


def test_known_labels_start_at_zero():
    """Otherwise Prometheus would not see the first observation as an increase."""
    histograms = Histograms((1.0,), ("accept",))
    histograms.of("load").observe(0.5)
    assert {label: each.count for label, each in histograms} == {"accept": 0, "load": 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [(HistogramCounts((1, 2), 1.0), HistogramCounts((1, 1), 1.0)), (None, HistogramCounts((1, 2, 3), 1.0)), (None, HistogramCounts((), 0.0)), (HistogramCounts((1, 2), 2.0), HistogramCounts((1, 2), 1.0))],
)  # fmt: skip
def test_inconsistent_counts_are_refused(before, after):
    """Other bounds, or a count that falls within one life, leave a histogram as it was."""
    histogram = Histogram((1.0,))
    histogram.observe(0.5)
    with pytest.raises(ValueError, match="count"):
        histogram.grow(before, after)
    assert histogram.tally() == HistogramCounts((1, 0), 0.5)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.sample_buffer import SampleBuffer


def pcm(first: int, last: int) -> bytes:
    return np.arange(first, last, dtype="<i2").tobytes()


def test_dropped_audio_is_gone():
    """Samples before the drop cannot be copied; those after it keep their positions."""
    buffer = SampleBuffer(0)
    buffer.append(0, pcm(0, 50))
    buffer.drop_before(20)
    buffer.drop_before(10)
    assert buffer.copy(20, 22).tolist() == [20, 21]
    with pytest.raises(ValueError, match="not within"):
        buffer.copy(19, 22)


def test_copies_do_not_hold_the_buffer():
    """A copy that is still in use does not keep audio from coming in."""
    buffer = SampleBuffer(0)
    buffer.append(0, pcm(0, 50))
    kept = buffer.copy(0, 50)
    buffer.append(50, pcm(50, 60))
    buffer.drop_before(55)
    assert kept.tolist() == list(range(50))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40)), max_size=20))
def test_any_order_of_appends_and_drops_keeps_positions(steps):
    """Whatever overlaps and drops there are, a sample is found at its own position."""
    buffer = SampleBuffer(100)
    for back, forth, drop in steps:
        start = max(0, buffer.end - back)
        buffer.append(start, pcm(start, start + back + forth))
        buffer.drop_before(buffer.end - drop)
        assert buffer.copy(buffer.start, buffer.end).tolist() == list(range(buffer.start, buffer.end))

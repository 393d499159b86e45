"""unacked and audio: what a resume would need is kept, within its bound; messages are cut exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client.audio import regroup
from scripts.client.unacked import Unacked

STEPS = st.lists(st.binary(min_size=1, max_size=40) | st.integers(0, 400), max_size=40)


@given(STEPS)
def test_everything_since_the_commit_is_kept(steps):
    """After any sends and acks the audio from the last commit on is there, or the bound says from where."""
    unacked, sent, committed = Unacked(200), b"", 0
    for step in steps:
        if isinstance(step, bytes):
            sent += step
            unacked.append(step)
        else:
            committed = max(committed, min(step, len(sent) // 2))
            unacked.acknowledge(step)
        unacked.check()
        first = max(committed, unacked.first_sample + 1)
        if 2 * first <= len(sent):
            assert unacked.since(first) == sent[2 * first :]
        assert unacked.size_bytes >= min(len(sent) - 2 * committed, 199)


def test_forgotten_audio_is_refused():
    """What is gone, or was never sent, is an error and not silence."""
    unacked = Unacked(1000)
    unacked.append(bytes(range(100)))
    unacked.acknowledge(10)
    assert unacked.since(10) == bytes(range(20, 100))
    assert unacked.since(50) == b""
    for sample in (9, 51):
        with pytest.raises(LookupError):
            unacked.since(sample)


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 20).map(lambda samples: 2 * samples))
def test_regroup_loses_nothing(pieces, message_bytes):
    """However the pieces are cut, messages have one size and hold every whole sample once."""
    messages = list(regroup(pieces, message_bytes))
    audio = b"".join(pieces)
    assert b"".join(messages) == audio[: len(audio) - len(audio) % 2]
    assert all(len(message) == message_bytes for message in messages[:-1])
    assert all(0 < len(message) <= message_bytes for message in messages)

"""replay_buffer and audio: what is to be sent (again) is kept, within its bound; messages are cut exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper_live_client.audio import regroup
from whisper_live_client.reconnect.replay_buffer import ReplayBuffer

STEPS = st.lists(
    st.binary(min_size=1, max_size=40)
    | st.tuples(st.sampled_from(["send", "acknowledge", "rewind"]), st.integers(0, 400)),
    max_size=60,
)


@given(STEPS)
def test_audio_is_sent_whole_from_wherever_it_is_asked_for(steps):
    """After any takings, sendings, acknowledgements and new connections the right bytes come next."""
    buffer, audio, sent, settled = ReplayBuffer(200), b"", 0, 0
    for step in steps:
        if isinstance(step, bytes):
            audio += step
            buffer.append(step)
        elif step[0] == "send":
            piece = buffer.next_unsent()
            assert piece == audio[sent : sent + len(piece)]
            assert piece or sent == len(audio)
            buffer.advance(len(piece))
            sent += len(piece)
        elif step[0] == "acknowledge":
            buffer.acknowledge(step[1])
            settled = max(settled, min(2 * step[1], sent))
        elif buffer.first_sample <= step[1] <= buffer.end_samples:
            buffer.rewind(step[1])
            sent = 2 * step[1]
        else:
            with pytest.raises(LookupError):
                buffer.rewind(step[1])
        buffer.check()
        assert buffer.size_bytes >= min(len(audio) - settled, 199)
        assert (buffer.end_samples, buffer.sent_samples) == (len(audio) // 2, sent // 2)


def test_messages_keep_their_cuts():
    """Audio goes out in the messages it came in; only the one in which a rewind falls is cut."""
    buffer = ReplayBuffer(1000)
    for size in (4, 6, 8):
        buffer.append(bytes(size))
    sizes = []
    buffer.rewind(3)
    while piece := buffer.next_unsent():
        sizes.append(len(piece))
        buffer.advance(len(piece))
    assert sizes == [4, 8]


def test_what_is_unsent_is_never_forgotten():
    """The bound is for what was sent: the rest waits, however much it is."""
    buffer = ReplayBuffer(100)
    buffer.append(bytes(80))
    buffer.append(bytes(80))
    assert (buffer.first_sample, buffer.size_bytes) == (0, 160)
    buffer.advance(80)
    assert (buffer.first_sample, buffer.size_bytes) == (30, 100)


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 20).map(lambda samples: 2 * samples))
def test_regroup_loses_nothing(pieces, message_bytes):
    """However the pieces are cut, messages have one size and hold every whole sample once."""
    messages = list(regroup(pieces, message_bytes))
    audio = b"".join(pieces)
    assert b"".join(messages) == audio[: len(audio) - len(audio) % 2]
    assert all(len(message) == message_bytes for message in messages[:-1])
    assert all(0 < len(message) <= message_bytes for message in messages)

"""The journal: a session's samples from its start, which moves on."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sessions.journal import Journal
from shared.messages import SAMPLE_RATE


def pcm(count: int, first: int = 0) -> bytes:
    """Return samples that can be told apart."""
    return b"".join(((first + n) % 65536).to_bytes(2, "little") for n in range(count))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 20)),
        st.tuples(st.just("trim"), st.integers(-5, 200)),
        st.tuples(st.just("read"), st.integers(0, 200)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 7))
def test_a_journal_is_an_array_without_its_front(steps, most):
    """After any appends and trims every sample from ``start`` on is there, at its place, in pieces of at most ``most``."""
    journal, model, start = Journal(), bytearray(), 0
    for what, value in steps:
        if what == "append":
            assert journal.append(pcm(value, len(model) // 2)) == len(model) // 2
            model += pcm(value, len(model) // 2)
        elif what == "trim":
            journal.trim(value)
            start = max(start, min(value, len(model) // 2))
        else:
            position = start + value
            pieces = list(journal.read(position, most))
            assert b"".join(piece for _, piece in pieces) == model[position * 2 :]
            assert all(type(piece) is bytes and 0 < len(piece) <= most * 2 for _, piece in pieces)
            at = position
            for first, piece in pieces:
                assert first == at
                at += len(piece) // 2
        assert (journal.start, journal.end) == (start, len(model) // 2)
        assert journal.held_s * SAMPLE_RATE == pytest.approx(journal.end - start)
        journal.check()


def test_trimmed_samples_cannot_be_read():
    """Reading before the start raises."""
    journal = Journal()
    journal.append(pcm(10))
    journal.trim(4)
    with pytest.raises(ValueError, match="sample 3 was trimmed"):
        list(journal.read(3))
    assert next(journal.read(4)) == (4, pcm(6, 4))


def test_tiny_messages_need_no_more_memory_than_their_audio():
    """A client that sends single samples cannot exceed the memory that the limit in seconds allows."""
    journal = Journal()
    for _ in range(20_000):
        journal.append(b"\1\2")
    held = sum(sys.getsizeof(entry) + sum(map(sys.getsizeof, entry)) for entry in journal._chunks)
    assert held < 3 * 40_000
    assert len(list(journal.read(0))) < 10


def test_a_piece_that_was_read_does_not_change():
    """Audio appended while it is being sent does not alter it."""
    journal = Journal()
    journal.append(b"\1\2")
    (_, piece), *_ = journal.read(0)
    journal.append(b"\3\4")
    assert piece == b"\1\2"

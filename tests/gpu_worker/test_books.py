import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.books import Ledger
from shared.messages import Books


def test_samples_in_a_window_are_transcribed_and_others_silence():
    """The accounts tell what a decode held from what the gate let pass."""
    ledger = Ledger(Books(0, 0, 0))
    ledger.decoded(100, 300)
    ledger.settle(400)
    assert ledger.books == Books(until=400, transcribed=200, silence=200)


def test_a_sample_in_many_windows_counts_once():
    """Windows overlap from decode to decode; each sample is counted once."""
    ledger = Ledger(Books(0, 0, 0))
    ledger.decoded(100, 200)
    ledger.decoded(100, 300)
    ledger.decoded(250, 350)
    ledger.decoded(500, 600)
    ledger.settle(1000)
    assert ledger.books == Books(until=1000, transcribed=350, silence=650)


def test_accounts_go_on_from_another_worker():
    """A resumed stream adds to the books it was given."""
    ledger = Ledger(Books(until=100, transcribed=60, silence=40))
    ledger.decoded(150, 200)
    ledger.settle(200)
    assert ledger.books == Books(until=200, transcribed=110, silence=90)


def test_a_window_in_settled_audio_is_refused():
    """A decode of samples that are counted already would make the books lie."""
    ledger = Ledger(Books(0, 0, 0))
    ledger.settle(100)
    with pytest.raises(ValueError, match="counted"):
        ledger.decoded(99, 150)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60)), max_size=30))
def test_books_always_balance_and_agree_with_a_plain_count(steps):
    """Transcribed and silence add up, and each is what a set of samples would give."""
    ledger, held = Ledger(Books(0, 0, 0)), set()
    for ahead, length, settle in steps:
        start = ledger.books.until + ahead
        ledger.decoded(start, start + length)
        held |= set(range(start, start + length))
        ledger.settle(ledger.books.until + settle - 10)
        books = ledger.books
        assert books.transcribed + books.silence == books.until
        assert books.transcribed == len([sample for sample in held if sample < books.until])

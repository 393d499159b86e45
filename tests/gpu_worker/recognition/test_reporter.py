import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.reporter import AudioLedger, StreamReporter
from shared.messages import AudioAccounting, Finished, Word


def test_samples_in_a_window_are_transcribed_and_others_silence():
    """The accounts tell what a decode held from what the gate let pass."""
    ledger = AudioLedger(AudioAccounting(0, 0, 0))
    ledger.decoded(100, 300)
    ledger.settle(400)
    assert ledger.accounting == AudioAccounting(until=400, transcribed=200, silence=200)


def test_a_sample_in_many_windows_counts_once():
    """Windows overlap from decode to decode; each sample is counted once."""
    ledger = AudioLedger(AudioAccounting(0, 0, 0))
    ledger.decoded(100, 200)
    ledger.decoded(100, 300)
    ledger.decoded(250, 350)
    ledger.decoded(500, 600)
    ledger.settle(1000)
    assert ledger.accounting == AudioAccounting(until=1000, transcribed=350, silence=650)


def test_accounts_go_on_from_another_worker():
    """A resumed stream adds to the books it was given."""
    ledger = AudioLedger(AudioAccounting(until=100, transcribed=60, silence=40))
    ledger.decoded(150, 200)
    ledger.settle(200)
    assert ledger.accounting == AudioAccounting(until=200, transcribed=110, silence=90)


def test_a_window_in_settled_audio_is_refused():
    """A decode of samples that are counted already would make the books lie."""
    ledger = AudioLedger(AudioAccounting(0, 0, 0))
    ledger.settle(100)
    with pytest.raises(ValueError, match="counted"):
        ledger.decoded(99, 150)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60)), max_size=30))
def test_books_always_balance_and_agree_with_a_plain_count(steps):
    """Transcribed and silence add up, and each is what a set of samples would give."""
    ledger, held = AudioLedger(AudioAccounting(0, 0, 0)), set()
    for ahead, length, settle in steps:
        start = ledger.accounting.until + ahead
        ledger.decoded(start, start + length)
        held |= set(range(start, start + length))
        ledger.settle(ledger.accounting.until + settle - 10)
        books = ledger.accounting
        assert books.transcribed + books.silence == books.until
        assert books.transcribed == len([sample for sample in held if sample < books.until])


def outbox(until: int = 0) -> StreamReporter:
    return StreamReporter(lease=3, opening=AudioAccounting(until, 0, until), language="en")


def word(text: str, start: int, end: int) -> TailWord:
    return TailWord(text, 1, start, end, -0.1, 0.9)


def report(box: StreamReporter, *words: TailWord, received: int = 10_000, closes: bool = False):
    box.hypothesis(words, None, floor=0, received=received, closes=closes)
    return box.take()[-1]


def test_words_are_put_in_order_and_within_the_audio():
    """No word starts before its predecessor's end, ends before its start, or lies beyond what was received."""
    message = report(outbox(), word(" a", 100, 500), word(" b", 300, 400), word(" c", 9_000, 12_000))
    assert message.words == (
        Word(" a", 100, 500, 0.9),
        Word(" b", 500, 500, 0.9),
        Word(" c", 9_000, 10_000, 0.9),
    )
    assert message.committed_until == message.tail_end == 10_000


def test_a_word_without_text_is_not_said():
    """Tokens that spell nothing are committed silently."""
    message = report(outbox(), word("", 100, 500), closes=True)
    assert message.words == ()
    assert not message.closes


def test_a_segment_closes_once():
    """Only what has words can close, and only until the next words."""
    box = outbox()
    assert not report(box, closes=True).closes
    assert not report(box, word(" a", 0, 100)).closes
    assert report(box, closes=True).closes
    assert not report(box, closes=True).closes


def test_positions_never_go_back():
    """An earlier position than one reported changes nothing; keep_from is at most committed_until."""
    box = outbox(1_000)
    box.move(5_000, 6_000)
    assert box.unreported == 4_000
    box.move(2_000, 3_000)
    message = report(box)
    assert (message.keep_from, message.committed_until, message.decoded) == (5_000, 5_000, 6_000)
    assert message.resume.books == AudioAccounting(5_000, 0, 5_000)
    assert box.unreported == 0


def test_the_end_settles_every_sample():
    """The last message carries the books of the whole session."""
    box = outbox()
    box.ledger.decoded(100, 300)
    box.finished(1_000)
    assert box.take() == [Finished(3, AudioAccounting(1_000, 200, 800))]
    assert box.take() == []

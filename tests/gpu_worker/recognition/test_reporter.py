import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.accounting.ledger import AudioLedger
from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.reporter import StreamReporter
from shared.messages import AudioAccounting, Finished, Word


def test_a_window_in_settled_audio_is_refused():
    """A decode of samples that are counted already would count them twice."""
    ledger = AudioLedger(AudioAccounting(0, 0, 0))
    ledger.settle(100)
    with pytest.raises(ValueError, match="counted"):
        ledger.decoded(99, 150)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60)), max_size=30),
    st.sets(st.integers(0, 99)),
)
def test_the_accounting_adds_up_and_agrees_with_a_plain_count(steps, earlier):
    """From another worker's on, transcribed and silence add up; each sample in a window is transcribed and counts once."""
    ledger, decoded = AudioLedger(AudioAccounting(100, len(earlier), 100 - len(earlier))), set(earlier)
    for ahead, length, settle in steps:
        start = ledger.accounting.until + ahead
        ledger.decoded(start, start + length)
        decoded |= set(range(start, start + length))
        ledger.settle(ledger.accounting.until + settle - 10)
        counted = ledger.accounting
        assert counted.transcribed + counted.silence == counted.until
        assert counted.transcribed == len([sample for sample in decoded if sample < counted.until])


def new_reporter(until: int = 0) -> StreamReporter:
    return StreamReporter(lease=3, opening=AudioAccounting(until, 0, until), language="en")


def word(text: str, start: int, end: int) -> TailWord:
    return TailWord(text, 1, start, end, -0.1, 0.9)


def report(reporter: StreamReporter, *words: TailWord, received: int = 10_000, closes: bool = False):
    reporter.hypothesis(words, None, floor=0, received=received, closes=closes)
    return reporter.take()[-1]


def test_words_are_put_in_order_and_within_the_audio():
    """No word starts before its predecessor's end, ends before its start, or lies beyond what was received."""
    message = report(new_reporter(), word(" a", 100, 500), word(" b", 300, 400), word(" c", 9_000, 12_000))
    assert message.words == (Word(" a", 100, 500, 0.9), Word(" b", 500, 500, 0.9), Word(" c", 9_000, 10_000, 0.9))
    assert message.committed_until == message.tail_end == 10_000


def test_a_word_without_text_is_not_reported():
    """Tokens that spell nothing are committed silently."""
    message = report(new_reporter(), word("", 100, 500), closes=True)
    assert message.words == ()
    assert not message.closes


def test_a_segment_closes_once():
    """Only what has words can close, and only until the next words."""
    reporter = new_reporter()
    assert not report(reporter, closes=True).closes
    assert not report(reporter, word(" a", 0, 100)).closes
    assert report(reporter, closes=True).closes
    assert not report(reporter, closes=True).closes


def test_positions_never_go_back():
    """An earlier position than one reported changes nothing; keep_from is at most committed_until."""
    reporter = new_reporter(1_000)
    reporter.move(5_000, 6_000)
    assert reporter.unreported == 4_000
    reporter.move(2_000, 3_000)
    message = report(reporter)
    assert (message.keep_from, message.committed_until, message.decoded) == (5_000, 5_000, 6_000)
    assert message.resume.accounting == AudioAccounting(5_000, 0, 5_000)
    assert reporter.unreported == 0


def test_the_end_settles_every_sample():
    """The last message carries the accounting of the whole session."""
    reporter = new_reporter()
    reporter.ledger.decoded(100, 300)
    reporter.finished(1_000)
    assert reporter.take() == [Finished(3, AudioAccounting(1_000, 200, 800))]
    assert reporter.take() == []

from gpu_worker.hypothesis import TailWord
from gpu_worker.outbox import Outbox
from shared.messages import Books, Finished, Word


def outbox(until: int = 0) -> Outbox:
    return Outbox(lease=3, opening=Books(until, 0, until), language="en")


def word(text: str, start: int, end: int) -> TailWord:
    return TailWord(text, 1, start, end, -0.1, 0.9)


def report(box: Outbox, *words: TailWord, received: int = 10_000, closes: bool = False):
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
    assert message.resume.books == Books(5_000, 0, 5_000)
    assert box.unreported == 0


def test_the_end_settles_every_sample():
    """The last message carries the books of the whole session."""
    box = outbox()
    box.ledger.decoded(100, 300)
    box.finished(1_000)
    assert box.take() == [Finished(3, Books(1_000, 200, 800))]
    assert box.take() == []

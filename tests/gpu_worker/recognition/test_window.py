import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.hypothesis import Reading, TailWord
from gpu_worker.recognition.window import Window, cut, nearest_frame, next_frame
from gpu_worker.recognizer import FRAME
from shared.messages import CommittedToken
from tests.gpu_worker.recognition.driver import POLICY, timed, window_result

S = 16_000


# fmt: off
CUTS = {
    "the latest decided sentence end that is not too fresh": ([(" a.", 2.0), (" b.", 5.0), (" c,", 8.0), (" d.", 11.8), (" e", 12.2)], " b."),
    "a mark of its own ends a sentence": ([(" b", 5.0), (".", 5.1), (" c", 6.0)], "."),
    "a quote or bracket may follow the mark": ([(" b", 5.0), (".”", 5.1), (" c", 6.0)], ".”"),
    "no cut beside a decimal point": ([(" about", 4.0), (" 3", 5.0), (".", 5.1), ("5", 5.5), (" d", 12.0)], "5"),
    "a comma that leaves less": ([(" a.", 1.0), (" b", 5.0), (",", 6.0), (" c", 9.0), (" d", 12.0)], ","),
    "before a word that begins with a space": ([(" a.", 1.0), (" wood", 9.0), ("cutters", 9.5), (" go", 10.4), (" home", 12.0)], " go"),
    "two seconds back": ([(" a.", 1.0), (" wood", 9.0), ("cutters", 9.5), (" go", 10.6), (" home", 12.2)], "cutters"),
    "a sentence that leaves much, as there is no other word": ([(" a.", 1.0), (" b", 12.0)], " a."),
    "Japanese: after any letter": ([("今日", 3.0), ("は", 5.0), ("晴", 12.0)], "は"),
    "Japanese: after a mark": ([("今日", 3.0), ("。", 6.0), ("晴", 9.0), ("れ", 12.0)], "。"),
    "not at the very start": ([(" a.", 0.4), (" b", 12.4)], None),
}
# fmt: on


def cut_text(words, *, committed: int | None = None) -> str | None:
    committed = len(words) if committed is None else committed
    found = cut(words, committed=committed, start=0, end=round(12.5 * S), language="en", policy=POLICY)
    return found and found.text


@pytest.mark.parametrize(("words", "text"), CUTS.values(), ids=CUTS)
def test_where_a_long_window_is_cut(words, text):
    """After a sentence if that leaves little enough, else after a clause, else between words."""
    assert cut_text(timed(*words)) == text


def test_open_words_are_never_cut():
    """Only committed tokens may leave the window."""
    words = timed((" a", 3.0), (" b.", 6.0), (" c", 8.0))
    assert cut_text(words, committed=1) == " a"
    assert cut_text(words, committed=0) is None


def tail(*texts: str, first: int = 0) -> tuple[TailWord, ...]:
    return tuple(
        TailWord(text, first + index, 0, (first + index) * S, -0.1, 0.9) for index, text in enumerate(texts, 1)
    )


def test_absorbing_commits_tokens_as_generated():
    """The first words' tokens are decided with their newest ends; the rest is draft and tail."""
    window = Window(start=0, asked_until=0, committed=(CommittedToken(50, 100),))
    words = timed((" a", 1.0), (" b", 2.0), (" c", 3.0))
    window.absorb(Reading(tail(" b", " c", first=1), (60, 70), trusted=True), window_result(words, (60, 70)))
    taken = window.commit(1)
    assert [word.text for word in taken] == [" b"]
    assert window.committed == (CommittedToken(50, S), CommittedToken(60, 2 * S))
    assert window.draft == (70,)
    assert window.previous == ("c",)


def test_trimming_moves_the_start_to_a_frame_and_drops_the_tokens():
    """What was cut off is neither decoded nor forced again."""
    window = Window(start=0, asked_until=0)
    words = timed((" a", 1.005), (" b", 2.0))
    window.absorb(Reading(tail(" a", " b"), (60, 70), trusted=True), window_result(words, (60, 70)))
    window.commit(2)
    window.trim(words[0])
    assert window.start == 16_000
    assert window.committed == (CommittedToken(70, 2 * S),)


@given(st.integers(0, 1 << 40))
def test_positions_round_to_frames(position):
    """Window starts are multiples of an encoder frame, near or after a position."""
    assert nearest_frame(position) % FRAME == next_frame(position) % FRAME == 0
    assert abs(nearest_frame(position) - position) <= FRAME // 2
    assert 0 <= next_frame(position) - position < FRAME


@given(st.lists(st.sampled_from([" a", ".", ",", "b", " c."]), max_size=30), st.integers(0, 30), st.floats(5.0, 27.0))
def test_a_cut_is_a_decided_word_that_ended_a_while_ago(texts, committed, end_s):
    """Whatever the words are, the cut is after a decided word and leaves at least a second of audio."""
    words = timed(*((text, 0.5 * (index + 1)) for index, text in enumerate(texts)))
    found = cut(words, committed=committed, start=0, end=round(end_s * S), language="en", policy=POLICY)
    if found:
        assert found.last <= committed
        assert found.end >= POLICY.min_cut_samples
        assert found.end <= round(end_s * S) - POLICY.sentence_margin_samples

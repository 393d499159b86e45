from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.hypothesis import Reading, TailWord
from gpu_worker.recognition.window import Window, cut, nearest_frame, next_frame
from gpu_worker.recognizer import FRAME
from shared.messages import CommittedToken
from tests.gpu_worker.recognition.driver import POLICY, timed, window_result

S = 16_000


def cut_text(words, *, committed: int | None = None, end_s: float = 12.5) -> str | None:
    found = cut(
        words, committed=len(words) if committed is None else committed, start=0, end=round(end_s * S), policy=POLICY
    )
    return found and found.text


def test_the_cut_is_after_the_last_sentence():
    """The latest decided sentence end that is not too fresh is best."""
    words = timed((" a.", 2.0), (" b.", 5.0), (" c,", 8.0), (" d.", 11.8), (" e", 12.2))
    assert cut_text(words) == " b."


def test_a_mark_of_its_own_ends_a_sentence():
    """Whisper's word list has punctuation as words of their own."""
    assert cut_text(timed((" b", 5.0), (".", 5.1), (" c", 6.0))) == "."


def test_a_quoted_sentence_ends_at_its_quote():
    """Closing quotes and brackets may follow the mark."""
    assert cut_text(timed((" b", 5.0), (".”", 5.1), (" c", 6.0))) == ".”"


def test_a_decimal_point_is_no_sentence():
    """A window is cut neither before nor after the point of "3.5"."""
    words = timed((" about", 4.0), (" 3", 5.0), (".", 5.1), ("5", 5.5), (" d", 12.0))
    assert cut_text(words) == "5"


def test_a_sentence_far_back_gives_way_to_a_clause():
    """If too much would remain, a comma that leaves less is taken."""
    words = timed((" a.", 1.0), (" b", 5.0), (",", 6.0), (" c", 9.0), (" d", 12.0))
    assert cut_text(words) == ","


def test_without_marks_the_cut_is_between_words():
    """Else the last decided word two seconds back, before a word that begins with a space."""
    words = timed((" a.", 1.0), (" wood", 9.0), ("cutters", 9.5), (" go", 10.4), (" home", 12.0))
    assert cut_text(words) == " go"
    assert cut_text(words, end_s=12.3) == "cutters"


def test_a_late_sentence_is_better_than_nothing():
    """A sentence that leaves much is still taken if no other word will do."""
    assert cut_text(timed((" a.", 1.0), (" b", 12.0))) == " a."


def test_open_words_are_never_cut():
    """Only committed tokens may leave the window."""
    words = timed((" a", 3.0), (" b.", 6.0), (" c", 8.0))
    assert cut_text(words, committed=1) == " a"
    assert cut_text(words, committed=0) is None


def test_a_cut_must_gain_something():
    """A word at the window's very start is no cut."""
    assert cut_text(timed((" a.", 0.4), (" b", 12.0)), committed=1) is None


def test_scripts_without_spaces_are_cut_between_letters():
    """Japanese has no spaces: any letter may follow a cut, and its marks end sentences."""
    assert cut_text(timed(("今日", 3.0), ("は", 5.0), ("晴", 12.0))) == "は"
    assert cut_text(timed(("今日", 3.0), ("。", 6.0), ("晴", 9.0), ("れ", 12.0))) == "。"


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
    found = cut(words, committed=committed, start=0, end=round(end_s * S), policy=POLICY)
    if found:
        assert found.last <= committed
        assert found.end >= POLICY.min_cut_samples
        assert found.end <= round(end_s * S) - POLICY.sentence_margin_samples

import math
from dataclasses import replace

import pytest

from gpu_worker.recognition.hypothesis import read
from gpu_worker.recognizer import TimedWord, WindowResult
from tests.gpu_worker.recognition.driver import POLICY, window_result


def result(pieces, *, committed=0, **values) -> WindowResult:
    """Return a result with one token a piece; ``pieces`` are (text, fresh, tokens)."""
    words, first = [], 0
    for text, fresh, tokens in pieces:
        words.append(TimedWord(text, fresh, first, first + tokens, first * 3200, (first + tokens) * 3200))
        first += tokens
    return window_result(words, range(first - committed), end=160_000, **values)


def texts(reading) -> list[str]:
    return [word.text for word in reading.tail]


def test_words_after_the_committed_ones_are_open():
    """The tail begins after the decided tokens."""
    reading = read(result([(" one", " one", 1), (" two", " two", 2)], committed=1), 1, POLICY)
    assert texts(reading) == [" two"]
    assert reading.tail[0].last == 3
    assert reading.trusted


def test_a_straddling_word_counts_by_its_fresh_part():
    """If " wood" of " woodcutters" is decided, the open word is "cutters", with its own tokens' probabilities."""
    pieces = [(" woodcutters", "cutters", 3), (" go", " go", 1)]
    found = replace(result(pieces, committed=1), logprobs=(-0.1, -0.7, -0.2))
    reading = read(found, 1, POLICY)
    assert texts(reading) == ["cutters", " go"]
    assert reading.tail[1].weakest == -0.2
    assert reading.tail[0].key == "cutters"
    assert reading.tail[0].weakest == -0.7
    assert reading.tail[0].probability == pytest.approx((math.exp(-0.1) + math.exp(-0.7)) / 2)


def test_a_cut_character_waits():
    """A word whose last bytes are missing is not shown; its tokens stay in the draft."""
    reading = read(result([(" a", " a", 1), ("日\ufffd", "日\ufffd", 3)]), 0, POLICY)
    assert texts(reading) == [" a"]
    assert reading.tokens == (0, 1, 2, 3)


def test_a_broken_character_in_the_middle_does_not_stop_the_rest():
    """Bytes that can never become whole lose the mark, not the words after them."""
    reading = read(result([(" a\ufffd", " a\ufffd", 2), (" b", " b", 1)]), 0, POLICY)
    assert texts(reading) == [" a", " b"]


@pytest.mark.parametrize(
    ("logprob", "no_speech", "shown"), [(-1.1, 0.4, False), (-0.9, 0.5, True), (-0.8, 0.7, False), (-0.6, 0.9, True)]
)
def test_an_unlikely_first_hypothesis_is_hidden(logprob, no_speech, shown):
    """Inventions on noise have a low probability, or a middling one where no speech is likely."""
    reading = read(result([(" thanks", " thanks", 2)], logprob=logprob, no_speech=no_speech), 0, POLICY)
    assert bool(reading.tail) == bool(reading.tokens) == reading.trusted == shown


def test_speech_that_is_hard_to_the_model_is_shown_and_not_trusted():
    """Where there is surely speech, unlikely words are a guess and no invention."""
    reading = read(result([(" tigre", " tigre", 2)], logprob=-1.9, no_speech=0.2), 0, POLICY)
    assert (texts(reading), reading.tokens, reading.trusted) == ([" tigre"], (0, 1), False)


def test_after_the_first_committed_word_nothing_is_hidden():
    """Once something is decided in the window the guard is off: there is speech."""
    reading = read(result([(" a", " a", 1), (" b", " b", 1)], committed=1, logprob=-3.0, no_speech=0.9), 1, POLICY)
    assert texts(reading) == [" b"]
    assert reading.trusted


def test_a_loop_is_shown_but_not_trusted():
    """What the repetition guard cut may be shown; nothing of it is committed."""
    reading = read(result([(" a", " a", 1)], looped=True), 0, POLICY)
    assert texts(reading) == [" a"]
    assert not reading.trusted


def test_an_empty_hypothesis_is_trusted():
    """Silence that was decoded to no words needs no second decode."""
    assert read(result([]), 0, POLICY).trusted

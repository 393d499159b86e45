"""Fault 36: tests that a crowded machine breaks."""

import pytest

from tests.gpu_worker.model.speech.conftest import word_errors as errors_and_words
from tests.system.reading import check_text, word_errors

SAID = "Printing, then, for our purpose, may be considered as the art of making books by means of movable types."


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (SAID, SAID.replace("may be", "maybe")),
        (SAID.replace("may be", "maybe"), SAID),
        ("Any one of the lower-case letters", "Anyone of the lowercase letters"),
        ("every day in the class room", "everyday in the classroom"),
        ("It is written W, I, E.", "It is written WIE."),
    ],
)
def test_fault_36_words_said_apart_or_together_are_the_same(said, heard):
    """A bound on wrong words is not missed by "maybe" for "may be", whoever compares.

    Relatives: the other way around, hyphens, compounds, spelled words.
    """
    assert word_errors(said, heard) == 0
    assert errors_and_words(said, heard)[0] == 0
    check_text(said, heard)


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        (SAID.replace("may be", "maybe not"), 1),
        (SAID.replace("may be", "may"), 1),
        (SAID.replace("movable", "immovable"), 1),
        (SAID.replace("for our purpose, ", ""), 3),
    ],
)
def test_fault_36_wrong_words_are_still_wrong(heard, wrong):
    """What is more, less or other than what was said counts as it did."""
    errors, words = errors_and_words(SAID, heard)
    assert errors == wrong
    assert word_errors(SAID, heard) == pytest.approx(wrong / words)

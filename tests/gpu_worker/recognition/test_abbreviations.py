import pytest

from gpu_worker.recognition.abbreviations import ends_sentence
from gpu_worker.recognizer import TimedWord


def words(*texts):
    """Return words with these texts."""
    return [TimedWord(text, text, index, index + 1, index, index + 1) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ([" with", " Mr", "."], "en"),
        ([" Dr."], "en"),
        ([' "', "St", "."], "en"),
        ([" the", " U", ".S", "."], "en"),
        ([" J", ".", " R", "."], "en"),
        ([" e", ".g", "."], "en"),
        ([" z", ".", " B", "."], "de"),
        ([" am", " 3", "."], "de"),
        ([" bzw", "."], "de"),
        ([" Sra", "."], "es"),
        ([" M", "."], "fr"),
        ([" Mme", "."], "fr"),
        ([" No", "."], "en"),  # what follows is not known yet
        ([" etc", "."], "xx"),
    ],
)
def test_no_end(texts, language):
    """Titles, letters, ordinals of languages that write them so, and what may be the beginning of "No. 5"."""
    assert not ends_sentence(words(*texts), len(texts) - 1, language)


@pytest.mark.parametrize(
    ("texts", "index", "language"),
    [
        ([" house", "."], 1, "en"),
        ([" in", " 1990", "."], 2, "en"),
        ([" at", " 3", "."], 2, "en"),
        ([" im", " Jahr", " 1990", "."], 3, "de"),
        ([" No", ".", " I", " will"], 1, "en"),
        ([" well", "..."], 1, "en"),
        ([" Mr", "?"], 1, "en"),
        (["です", "。"], 1, "ja"),
    ],
)
def test_an_end(texts, index, language):
    """A year, a number in English, an answer, and marks that no abbreviation has."""
    assert ends_sentence(words(*texts), index, language)


def test_what_follows_decides_on_no():
    """Before a number it is an abbreviation."""
    assert not ends_sentence(words(" No", ".", " 5"), 1, "en")

"""Count wrong words by utterance, and say how sure an error rate is (core)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein

_RESAMPLES = 2000
_SEED = 0  # the same runs give the same interval

Normalise = Callable[[str], list[str]]


def normaliser(language: str | None) -> Normalise:
    """Return what cuts text of a language into the words that are compared; English where none is named."""
    # torch comes with whisper: what only draws figures need not wait for it.
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer  # noqa: PLC0415

    clean = EnglishTextNormalizer() if language in {None, "en", "english"} else BasicTextNormalizer()

    @lru_cache(maxsize=100_000)
    def normalise(text: str) -> list[str]:
        return str(clean(text)).split()

    return normalise


def equal_words(said: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Pair the words of two texts that are the same, by their indices and in order, with as few errors as can be."""
    return [
        pair
        for each in Levenshtein.opcodes(said, heard)
        if each.tag == "equal"
        for pair in zip(range(each.src_start, each.src_end), range(each.dest_start, each.dest_end), strict=True)
    ]


def respelled(said: Sequence[str], heard: Sequence[str]) -> list[str]:
    """Return what was heard with words divided as they were said where only that differs: "maybe" for "may be".

    A spelled "b r o w n" that is heard as "brown" is the same, too. Both texts are normalised before.
    """
    found: list[str] = []
    differing: tuple[list[str], list[str]] = ([], [])
    for each in Levenshtein.opcodes(said, heard):
        if each.tag == "equal":
            found += _divided(*differing)
            differing = ([], [])
            found += heard[each.dest_start : each.dest_end]
        else:
            differing[0].extend(said[each.src_start : each.src_end])
            differing[1].extend(heard[each.dest_start : each.dest_end])
    return found + _divided(*differing)


def _divided(said: list[str], heard: list[str]) -> list[str]:
    """Divide the words of a place where two texts differ, as far as that leaves fewer errors."""
    found: list[str] = []
    said_at = heard_at = 0
    while heard_at < len(heard):
        for start in range(said_at, len(said)):
            if spans := _same_letters(said[start:], heard[heard_at:]):
                said_at = start + spans[0]
                found += said[start:said_at]
                heard_at += spans[1]
                break
        else:
            found.append(heard[heard_at])
            heard_at += 1
    return found if Levenshtein.distance(said, found) < Levenshtein.distance(said, heard) else heard


def _same_letters(said: list[str], heard: list[str]) -> tuple[int, int] | None:
    """Return of how many first words each the letters are the same; None where they differ."""
    ours, theirs = said[0], heard[0]
    spans = [1, 1]
    while ours != theirs:
        if len(ours) < len(theirs) and theirs.startswith(ours) and spans[0] < len(said):
            ours += said[spans[0]]
            spans[0] += 1
        elif len(theirs) < len(ours) and ours.startswith(theirs) and spans[1] < len(heard):
            theirs += heard[spans[1]]
            spans[1] += 1
        else:
            return None
    return spans[0], spans[1]


@dataclass(frozen=True, slots=True)
class Score:
    """The words of one utterance, and how many errors were made there (words missed, made up or wrong)."""

    words: int
    errors: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


def score(texts: Sequence[str], heard: str, normalise: Normalise) -> list[Score]:
    """Score a transcript against what was said, utterance by utterance.

    A made-up word counts where the word before it was said; what is heard before the first word, or where nothing is
    said at all, counts in the first utterance.
    """
    said = [(word, index) for index, text in enumerate(texts) for word in normalise(text)]
    found = normalise(heard)
    words, errors = [0] * len(texts), [0] * len(texts)
    here = said[0][1] if said else 0
    for each in Levenshtein.opcodes([word for word, _ in said], found):
        for ours in range(each.src_start, each.src_end):
            here = said[ours][1]
            words[here] += 1
            errors[here] += each.tag != "equal"
        if each.tag == "insert" and errors:
            errors[here] += each.dest_end - each.dest_start
    return [Score(*pair) for pair in zip(words, errors, strict=True)]


def error_rate(scores: Sequence[Score]) -> float | None:
    """Return the word error rate in percent, None where no word is said."""
    words = sum(one.words for one in scores)
    return 100.0 * sum(one.errors for one in scores) / words if words else None


def error_interval(scores: Sequence[Score]) -> Interval | None:
    """Return the word error rate in percent with its interval over utterances; None for less than two of them."""
    return _bootstrap([(one.errors, one.words) for one in scores])


def difference_interval(ours: Sequence[Score], theirs: Sequence[Score]) -> Interval | None:
    """Return by how many points the first rate is the higher one; both are of the same utterances, in order.

    The utterances are drawn in pairs: what is hard in one transcript is hard in the other as well.
    """
    paired = zip(ours, theirs, strict=True)
    return _bootstrap([(mine.errors - other.errors, mine.words) for mine, other in paired])


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, between two values in proportion; None of nothing."""
    return float(np.percentile(values, percent)) if values else None


def _bootstrap(units: Sequence[tuple[int, int]]) -> Interval | None:
    """Resample utterances with replacement; the rate of (errors, words), in percent."""
    told = np.array([unit for unit in units if unit[1]], dtype=np.int64).reshape(-1, 2)
    if len(told) < 2:
        return None
    draws = np.random.default_rng(_SEED).integers(0, len(told), size=(_RESAMPLES, len(told)))
    sums = told[draws].sum(axis=1)
    low, high = np.percentile(100.0 * sums[:, 0] / sums[:, 1], [2.5, 97.5])
    errors, words = told.sum(axis=0)
    return Interval(float(100.0 * errors / words), float(low), float(high))

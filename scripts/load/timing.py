"""Measure how long after it was said a word was shown and committed (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_live_client.transcript import Transcript

from .alignment import align
from .material import SpokenWord
from .scoring import Normalise


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word that was heard right: where it ends in the stream, and how long after that moment was sent it was there.

    Attributes:
        shown_s: until it stood on the screen to stay; negative where it was guessed before its end.
        committed_s: until it could not change any more; None where the session broke off before.
    """

    text: str
    end_s: float
    shown_s: float
    committed_s: float | None


def word_times(spoken: Sequence[SpokenWord], transcript: Transcript, normalise: Normalise) -> list[WordTime]:
    """Time every spoken word that the transcript has right, from the moment its last sample left the client."""
    said = [(token, index) for index, word in enumerate(spoken) for token in normalise(word.text)]
    words = transcript.words
    heard = [(token, index) for index, word in enumerate(words) for token in normalise(word.text)]
    times: dict[int, WordTime] = {}
    for step in align([token for token, _ in said], [token for token, _ in heard]):
        if step.said is None or step.heard is None or not step.right:
            continue
        which = said[step.said][1]
        end_s, word = spoken[which].end_s, words[heard[step.heard][1]]
        sent_s = None if end_s is None else transcript.sent_at_s(end_s)
        if end_s is not None and sent_s is not None:
            committed_s = None if word.committed_s is None else word.committed_s - sent_s
            # Of a word that is two when normalised ("don't") the last part counts.
            times[which] = WordTime(spoken[which].text, end_s, word.shown_s - sent_s, committed_s)
    return list(times.values())


def percentile(values: Sequence[float], share_percent: float) -> float | None:
    """Return the value below which so many percent lie, between two neighbours in proportion; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = share_percent / 100 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

"""When words were shown, committed and changed (core)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from whisper_live_client.segment import Word, match_words
from whisper_live_client.transcript import Transcript

from .corpus import SpokenWord
from .scoring import Normalise, equal_words


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word that was heard right: where it ends in the stream, and how long it took after that moment was sent."""

    text: str
    end_s: float
    shown_s: float  # until it stood on the screen to stay; negative where it was guessed before its end
    committed_s: float | None  # until it could not change any more; None where the session broke off before


def word_times(
    spoken: Sequence[SpokenWord],
    heard: Sequence[Word],
    sent_at_s: Callable[[float], float | None],
    normalise: Normalise,
) -> list[WordTime]:
    """Time every spoken word that was heard right, from the moment its last sample was sent.

    ``sent_at_s`` tells when the audio at a position was sent, on the clock of the heard words; None if it was not.
    """
    said = [(token, index) for index, word in enumerate(spoken) for token in normalise(word.text)]
    found = [(token, index) for index, word in enumerate(heard) for token in normalise(word.text)]
    times: dict[int, WordTime] = {}
    for ours, theirs in equal_words([token for token, _ in said], [token for token, _ in found]):
        which = said[ours][1]
        end_s, word = spoken[which].end_s, heard[found[theirs][1]]
        sent_s = None if end_s is None else sent_at_s(end_s)
        if end_s is not None and sent_s is not None:
            committed_s = None if word.committed_s is None else word.committed_s - sent_s
            # Of a word that is two when normalised ("don't") the last part counts.
            times[which] = WordTime(spoken[which].text, end_s, word.shown_s - sent_s, committed_s)
    return list(times.values())


class ChangeCounter:
    """Counts the words of one transcript that changed after they had been shown.

    A shown word that is no longer there in the next update has changed, or vanished; the newest word shown is left
    aside, for it is often only half said. Case and punctuation do not count, as in the client's transcript.
    """

    def __init__(self) -> None:
        self.changed = 0
        self._settled_segments = 0
        self._committed = 0
        self._shown: list[str] = []

    def observe(self, transcript: Transcript) -> None:
        """Compare with what was shown before; to be called after each event that has text but a final."""
        segments = islice(transcript.segments.values(), self._settled_segments, None)
        open_words = [word for segment in segments for word in segment.words]
        shown = [word.text for word in open_words]
        # What was committed stays (else it is a violation, and counted there): only the rest can change.
        before, after = self._shown[self._committed :], shown[self._committed :]
        kept = {old for old, _ in match_words(before, after)}
        self.changed += sum(index not in kept for index in range(len(before) - 1))
        self._shown = shown
        self._committed = sum(word.committed_s is not None for word in open_words)
        self._settle(transcript)

    def _settle(self, transcript: Transcript) -> None:
        """Forget leading segments that are closed: an update must not cost more the longer a session lasts."""
        for segment in islice(transcript.segments.values(), self._settled_segments, None):
            if not segment.closed:
                return
            self._settled_segments += 1
            self._committed -= len(segment.words)
            del self._shown[: len(segment.words)]

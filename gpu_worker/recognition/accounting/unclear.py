"""Core: which speech brought no word."""

from collections.abc import Iterable

from gpu_worker.recognition.endpointer import Utterance
from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognizer import WindowResult
from shared.messages import CommittedToken, UnclearSpeech

NOT_DECODED = "not_decoded"


class UnclearFinder:
    """Finds the speech of one utterance after another that lies too far from every word committed in it.

    Speech is what the endpointer takes for it, from an utterance's onset to its last frame of speech. The end of an
    utterance may stay uncovered for `PolicySettings.flush_stall_samples`; what is farther from each word is unclear.
    """

    def __init__(self, decided_until: int, policy: PolicySettings) -> None:
        self._policy = policy
        self._decided = decided_until
        self._words: list[tuple[int, int]] = []
        self._cause = NOT_DECODED

    def resume(self, committed: Iterable[CommittedToken]) -> None:
        """Take over the words that another worker has committed in the current window."""
        self._words += [(token.end, token.end) for token in committed]

    def on_decode(self, result: WindowResult, *, shown: bool) -> None:
        """Note why a decode may have left speech without words; ``shown`` says that its words were not hidden."""
        if result.looped:
            self._cause = "repetition"
        elif not result.words:
            self._cause = "no_words"
        else:
            self._cause = "uncovered" if shown else "hidden"

    def on_words(self, taken: Iterable[TailWord]) -> None:
        """Note newly committed words. A punctuation mark's time stretches over any audio, so it covers none."""
        self._words += [
            (word.start, max(word.start, min(word.end, word.start + self._policy.word_span_samples)))
            for word in taken
            if any(map(str.isalnum, word.text))
        ]

    def decide(self, utterance: Utterance, until: int, *, over: bool) -> tuple[UnclearSpeech, ...]:
        """Return the unclear speech of an utterance before ``until`` that was not returned yet.

        All its words before ``until`` are committed; ``over`` says that it has no others.
        """
        first, last = max(utterance.onset, self._decided), min(utterance.last_speech, until)
        reach = self._policy.flush_stall_samples
        found: list[tuple[int, int]] = []
        for start, end in sorted(self._words):
            if start - reach > first:
                found.append((first, min(start - reach, last)))
            first = max(first, end + reach)
        found.append((first, last))
        unclear = tuple(UnclearSpeech(start, end, self._cause) for start, end in found if start < end)
        self._decided = max(self._decided, until)
        self._words = [word for word in self._words if word[1] + reach > until]
        if over:
            self._decided = max([self._decided, *(end for _, end in self._words)])
            self._words, self._cause = [], NOT_DECODED
        return unclear

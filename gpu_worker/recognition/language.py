"""Core: which language a stream is in, where its client names none.

Of the first windows of 19 recordings in six languages the model `base` takes 13 for another one after half a second of
speech, 4 after one second, 2 after one and a half, and none from two seconds on (of 31 in English none at all). So a
short beginning decides nothing, and what is decided is asked again now and then: people change their language.
"""

from gpu_worker.recognition.policy import PolicySettings


class Language:
    """What is known of a stream's language.

    Attributes:
        used: the one its last committed words are in; None before the first.
        settled: the one that short windows are decoded in without asking; None as long as there is none.
    """

    def __init__(self, given: str | None, settled: str | None, policy: PolicySettings) -> None:
        self.used = self.settled = given or settled
        self._given = given
        self._policy = policy
        self._found = self.settled
        self._long = False
        self._checked: int | None = None

    def ask(self, start: int, end: int) -> str | None:
        """Return the language to decode a window in; None to detect it.

        Until one is settled each window is asked, then one of each utterance and of each stretch between two trims.
        """
        if self._given or self.settled is None:
            return self._given
        is_long = end - start >= self._policy.language_samples
        return None if is_long and start != self._checked else self.settled

    def take(self, found: str, start: int, end: int) -> None:
        """Take the language that a window was decoded in; one that contradicts is asked again."""
        self._found = found
        self._long = end - start >= self._policy.language_samples
        if self._long and found == self.settled:
            self._checked = start

    def believe(self) -> None:
        """Note that words of the last window were committed: if it was long enough they settle the language."""
        self.used = self._found
        if self._long:
            self.settled = self._found

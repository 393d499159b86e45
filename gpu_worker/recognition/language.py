"""Core: which language a stream is in, where its client names none.

Of the first windows of 19 recordings in six languages the model `base` takes 13 for another one after half a second of
speech, 4 after one second, 2 after one and a half, and none from two seconds on (of 31 in English none at all). So a
short beginning settles nothing, and a settled language is detected again now and then: people change their language.
"""

from gpu_worker.recognition.policy import PolicySettings


class Language:
    """The language of a stream, given or detected.

    Attributes:
        used: the one its last committed words are in; None before the first.
        settled: the one that short windows are decoded in without detection; None until there is one.
    """

    def __init__(self, given: str | None, settled: str | None, policy: PolicySettings) -> None:
        self.used = self.settled = given or settled
        self._given = given
        self._policy = policy
        self._found = self.settled
        self._long = False
        self._checked: int | None = None

    def for_window(self, start: int, end: int) -> str | None:
        """Return the language to decode a window in; None to detect it.

        Until one is settled it is detected in each window, then once for each window start.
        """
        if self._given or self.settled is None:
            return self._given
        is_long = end - start >= self._policy.language_samples
        return None if is_long and start != self._checked else self.settled

    def on_decode(self, found: str, start: int, end: int) -> None:
        """Record the language that a window was decoded in; if it is not the settled one, it is detected again."""
        self._found = found
        self._long = end - start >= self._policy.language_samples
        if self._long and found == self.settled:
            self._checked = start

    def on_commit(self) -> None:
        """Take the last window's language for that of its committed words; if it was long enough, settle it."""
        self.used = self._found
        if self._long:
            self.settled = self._found

"""Count the words that changed after they had been shown (core)."""

from itertools import islice

from whisper_live_client.segment import match_words
from whisper_live_client.transcript import Transcript


class Changes:
    """Watches one transcript while it grows.

    A shown word that is no longer there in the next update has changed, or vanished; the newest word shown is left
    aside, for it is often only half said. Case and punctuation do not count, as in `whisper_live_client.segment`.
    """

    def __init__(self) -> None:
        self.changed = 0
        self._settled_segments = 0
        self._committed = 0
        self._shown: list[str] = []

    def observe(self, transcript: Transcript) -> None:
        """Compare with what was shown before; to be called after each message that has text."""
        open_words = [
            word
            for segment in islice(transcript.segments.values(), self._settled_segments, None)
            for word in segment.words
        ]
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

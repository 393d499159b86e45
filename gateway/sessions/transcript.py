"""A session's text: committed words in segments, and the tail, which may still change."""

from dataclasses import dataclass, field

from shared.messages import SAMPLE_RATE, Hypothesis, Word


@dataclass(slots=True)
class Segment:
    """Words up to the end of an utterance or a sentence; a closed segment never changes."""

    number: int
    words: list[Word] = field(default_factory=list)
    language: str | None = None
    closed: bool = False

    @property
    def text(self) -> str:
        """Return the words as one string, without blanks around it."""
        return "".join(word.text for word in self.words).strip()

    @property
    def start(self) -> int:
        """Return the start of the first word, in samples."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """Return the end of the last word, in samples."""
        return self.words[-1].end


class Transcript:
    """What has been recognised so far. Committed words are only ever appended."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.tail = ""
        self.tail_end = 0
        self.language: str | None = None
        self.committed_until = 0
        self.words = 0
        self._numbers = 0

    @property
    def open(self) -> Segment | None:
        """Return the segment that may still grow, if there is one."""
        return self.segments[-1] if self.segments and not self.segments[-1].closed else None

    def apply(self, hypothesis: Hypothesis) -> bool:
        """Take a step's result; return True if any text has changed."""
        tail = hypothesis.tail.rstrip()
        changed = bool(hypothesis.words) or tail != self.tail
        self.language = hypothesis.language or self.language
        self.tail, self.tail_end = tail, hypothesis.tail_end
        self.committed_until = max(self.committed_until, hypothesis.committed_until)
        if hypothesis.words:
            segment = self.open or self._begin()
            segment.words.extend(hypothesis.words)
            segment.language = self.language
            self.words += len(hypothesis.words)
        if hypothesis.closes and self.open is not None:
            self.open.closed = True
            changed = True
        return changed

    def close(self) -> None:
        """Close the open segment and drop the tail: no more words will come."""
        self.tail = ""
        if self.open is not None:
            self.open.closed = True

    def _begin(self) -> Segment:
        self._numbers += 1
        segment = Segment(self._numbers)
        self.segments.append(segment)
        return segment

    def check(self) -> None:
        """Assert what must hold between two calls."""
        assert all(segment.closed for segment in self.segments[:-1])
        assert all(segment.words for segment in self.segments)
        words = [word for segment in self.segments for word in segment.words]
        assert len(words) == self.words


def seconds(samples: int) -> float:
    """Return a position as messages show it: in seconds, rounded to milliseconds."""
    return round(samples / SAMPLE_RATE, 3)

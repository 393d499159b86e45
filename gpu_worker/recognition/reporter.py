"""Core: what a stream reports: positions that only grow, words in order, accounts that balance."""

from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.window import Window
from shared.messages import AudioAccounting, Finished, Hypothesis, ResumeState, Word


class AudioLedger:
    """Counts samples as `settle` passes them: transcribed if a decode's window held them, else silence."""

    def __init__(self, opening: AudioAccounting) -> None:
        self._books = opening
        self._windows: list[tuple[int, int]] = []

    @property
    def books(self) -> AudioAccounting:
        return self._books

    def decoded(self, start: int, end: int) -> None:
        """Note that a decode's window held the samples from ``start`` to ``end``.

        Raises:
            ValueError: some of them are counted already.
        """
        if start < self._books.until:
            raise ValueError(f"samples from {start} are counted up to {self._books.until}")
        kept = []
        for first, last in self._windows:
            if last < start or first > end:
                kept.append((first, last))
            else:
                start, end = min(first, start), max(last, end)
        self._windows = sorted([*kept, (start, end)])

    def settle(self, until: int) -> None:
        """Count the samples before ``until``; an earlier position than the last one changes nothing."""
        books = self._books
        if until <= books.until:
            return
        transcribed = sum(max(0, min(last, until) - first) for first, last in self._windows)
        silence = until - books.until - transcribed
        self._windows = [(max(first, until), last) for first, last in self._windows if last > until]
        self._books = AudioAccounting(until, books.transcribed + transcribed, books.silence + silence)


class StreamReporter:
    """Collects the messages of one stream.

    Attributes:
        keep_from: the first sample that a later step may still need.
        decoded_until: every sample before it was decoded or is known as silence.
        ledger: the accounts, settled up to ``keep_from``.
        language: the language in use, once it is known.
        settled_language: the one that another worker would go on with, once it is settled.
    """

    def __init__(self, *, lease: int, opening: AudioAccounting, language: str | None) -> None:
        self.keep_from = self.decoded_until = self._reported = self._word_end = opening.until
        self.ledger = AudioLedger(opening)
        self.language = self.settled_language = language
        self._lease = lease
        self._segment_open = False
        self._out: list[Hypothesis | Finished] = []

    @property
    def unreported(self) -> int:
        """Return by how many samples ``keep_from`` is ahead of what was said about it."""
        return self.keep_from - self._reported

    def resume_at(self, word_end: int, *, inside: bool) -> None:
        """Go on after another worker, whose last word ended at ``word_end``, ``inside`` its segment or after it."""
        self._word_end = max(self._word_end, word_end)
        self._segment_open = inside

    def move(self, keep_from: int, decoded_until: int) -> None:
        """Move the positions on, if they are further than before."""
        self.keep_from = max(self.keep_from, keep_from)
        self.decoded_until = max(self.decoded_until, decoded_until)
        self.ledger.settle(self.keep_from)

    def hypothesis(
        self, taken: tuple[TailWord, ...], window: Window | None, *, floor: int, received: int, closes: bool
    ) -> None:
        """Report newly committed words and what is open in ``window``.

        Args:
            taken: the words; they are put in order in time, each within what was received.
            window: the current window, if the stream is inside an utterance.
            floor: no later window begins before it.
            received: end of the audio.
            closes: whether the segment ends after ``taken``.
        """
        words = tuple(self._word(word, received) for word in taken if word.text)
        segment_open = self._segment_open or bool(words)
        self._segment_open = segment_open and not closes
        self._reported = self.keep_from
        committed_until = max(self._word_end, self.keep_from)
        tail = window.tail if window else ()
        state = ResumeState(
            window_start=window.start if window else max(floor, self.keep_from),
            speaking=window is not None,
            committed=window.committed if window else (),
            draft=window.draft if window else (),
            language=self.settled_language,
            books=self.ledger.books,
        )
        self._out.append(
            Hypothesis(
                lease=self._lease,
                words=words,
                tail="".join(word.text for word in tail),
                tail_end=max([committed_until, *(min(word.end, received) for word in tail)]),
                closes=closes and segment_open,
                committed_until=committed_until,
                keep_from=self.keep_from,
                decoded=self.decoded_until,
                language=self.language,
                resume=state,
            )
        )

    def finished(self, at: int) -> None:
        """Report that the session is over at sample ``at``."""
        self.ledger.settle(at)
        self._out.append(Finished(self._lease, self.ledger.books))

    def take(self) -> list[Hypothesis | Finished]:
        """Return the messages since the last call, in order."""
        out, self._out = self._out, []
        return out

    def _word(self, word: TailWord, received: int) -> Word:
        # Word times are an estimate that moves with each decode; what is said stays in order.
        start = min(max(word.start, self._word_end), received)
        self._word_end = min(max(word.end, start), received)
        return Word(word.text, start, self._word_end, word.probability)

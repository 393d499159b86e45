"""Core: what a stream reports: positions that only grow, words in order, accounting that adds up."""

from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.window import Window
from shared.messages import AudioAccounting, Finished, Hypothesis, ResumeState, UnclearSpeech, Word


class AudioLedger:
    """Counts samples when they are settled.

    As unclear if they were heard as speech and brought no word, else as transcribed if a decode's window contained
    them, else as silence.
    """

    def __init__(self, opening: AudioAccounting, unclear: tuple[UnclearSpeech, ...] = ()) -> None:
        self._accounting = opening
        self._windows: list[tuple[int, int]] = []
        self._unclear = unclear

    @property
    def unclear(self) -> tuple[UnclearSpeech, ...]:
        """Return the stretches of unclear speech that are not settled, or not to their end."""
        return self._unclear

    @property
    def accounting(self) -> AudioAccounting:
        return self._accounting

    def decoded(self, start: int, end: int) -> None:
        """Record that a decode's window contained the samples from ``start`` to ``end``.

        Raises:
            ValueError: some of them are counted already.
        """
        if start < self._accounting.until:
            raise ValueError(f"samples from {start} are counted up to {self._accounting.until}")
        apart = []
        for first, last in self._windows:
            if last < start or first > end:
                apart.append((first, last))
            else:
                start, end = min(first, start), max(last, end)
        self._windows = sorted([*apart, (start, end)])

    def note_unclear(self, stretches: tuple[UnclearSpeech, ...]) -> None:
        """Record speech that brought no word; later than what was recorded before."""
        self._unclear += stretches

    def settle(self, until: int) -> None:
        """Count the samples before ``until``; an earlier position than the last one changes nothing."""
        before = self._accounting
        if until <= before.until:
            return
        apart = [(max(each.start, before.until), min(each.end, until)) for each in self._unclear]
        unclear = sum(max(0, last - first) for first, last in apart)
        decoded = sum(max(0, min(last, until) - first) for first, last in self._windows)
        both = sum(max(0, min(last, end) - max(first, start)) for first, last in self._windows for start, end in apart)
        transcribed = decoded - both
        self._windows = [(max(first, until), last) for first, last in self._windows if last > until]
        self._unclear = tuple(each for each in self._unclear if each.end > until)
        self._accounting = AudioAccounting(
            until,
            before.transcribed + transcribed,
            before.silence + until - before.until - transcribed - unclear,
            before.unclear + unclear,
        )


class StreamReporter:
    """Collects the messages of one stream.

    Attributes:
        keep_from: the first sample that a later step may still need.
        decoded_until: every sample before it was decoded or is known as silence.
        ledger: the audio accounting, settled up to ``keep_from``.
        language: the language in use; None until it is known.
        settled_language: the one that another worker would go on with; None until it is settled.
        no_voice: whether much loud audio had next to no voice in it.
    """

    def __init__(
        self,
        *,
        lease: int,
        opening: AudioAccounting,
        language: str | None,
        unclear: tuple[UnclearSpeech, ...] = (),
    ) -> None:
        self.keep_from = self.decoded_until = self._reported = self._word_end = opening.until
        self.ledger = AudioLedger(opening, unclear)
        self.language = self.settled_language = language
        self.no_voice = False
        self._lease = lease
        self._unclear: tuple[UnclearSpeech, ...] = ()
        self._segment_open = False
        self._out: list[Hypothesis | Finished] = []

    @property
    def unreported(self) -> int:
        """Return by how many samples ``keep_from`` is ahead of the last report of it."""
        return self.keep_from - self._reported

    def resume_at(self, word_end: int, *, inside: bool) -> None:
        """Go on after another worker, whose last word ended at ``word_end``, ``inside`` its segment or after it."""
        self._word_end = max(self._word_end, word_end)
        self._segment_open = inside

    def note_unclear(self, stretches: tuple[UnclearSpeech, ...]) -> None:
        """Count speech that brought no word as such, and tell it with the next hypothesis."""
        self.ledger.note_unclear(stretches)
        self._unclear += stretches

    def move(self, keep_from: int, decoded_until: int) -> None:
        """Advance the positions; they never go back."""
        self.keep_from = max(self.keep_from, keep_from)
        self.decoded_until = max(self.decoded_until, decoded_until)
        self.ledger.settle(self.keep_from)

    def hypothesis(
        self, taken: tuple[TailWord, ...], window: Window | None, *, floor: int, received: int, closes: bool
    ) -> None:
        """Report newly committed words and the tail of ``window``.

        Args:
            taken: the words; their times are put in order, within the audio received.
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
            accounting=self.ledger.accounting,
            unclear=self.ledger.unclear,
        )
        told, self._unclear = self._unclear, ()
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
                unclear=told,
                no_voice=self.no_voice,
            )
        )

    def finished(self, at: int) -> None:
        """Report that the session is over at sample ``at``."""
        self.ledger.settle(at)
        self._out.append(Finished(self._lease, self.ledger.accounting))

    def take(self) -> list[Hypothesis | Finished]:
        """Return the messages since the last call, in order."""
        out, self._out = self._out, []
        return out

    def _word(self, word: TailWord, received: int) -> Word:
        # Word times are an estimate that moves with each decode; the committed words stay in order.
        start = min(max(word.start, self._word_end), received)
        self._word_end = min(max(word.end, start), received)
        return Word(word.text, start, self._word_end, word.probability)

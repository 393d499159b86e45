"""Core: what a stream reports: positions that only grow, words in order, accounting that adds up."""

from gpu_worker.recognition.accounting.ledger import AudioLedger
from gpu_worker.recognition.hypothesis import TailWord
from gpu_worker.recognition.window import Window
from shared.messages import AudioAccounting, Finished, Hypothesis, ResumeState, UnclearSpeech, Word


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

"""Judge what one session came to (core)."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_live_client.audio import SAMPLE_RATE, duration_s
from whisper_live_client.outcome import Exit
from whisper_live_client.transcript import Transcript

from scripts.tools.driver import SessionResult
from scripts.tools.scoring import Normalise, Score, score
from scripts.tools.word_timing import WordTime, word_times


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The figures of one session; None is unknown."""

    number: int
    session: str | None
    outcome: str
    problem: str
    utterances: tuple[str, ...]
    audio_s: float
    speaking_s: tuple[float, float] | None  # from when until when audio was sent, on the client's clock
    scores: tuple[Score, ...]
    spoken_words: int
    heard_words: int
    word_times: tuple[WordTime, ...]
    changed_words: int
    setup_ms: float | None  # from opening the connection to "Ready to transcribe"
    first_word_s: float | None
    last_words_s: float | None  # from the end of the audio until the last word was committed; 0 if it was before
    flush_s: float | None  # from the end of the audio until the server said that all is said
    held_back_s: float | None  # how much later than spoken the last audio was sent: the server did not read
    books: bool | None  # as `Transcript.balanced`
    dropped_s: float
    moves: int
    violations: tuple[str, ...]
    text: str

    @property
    def ended_well(self) -> bool:
        """Whether it came to its end, or to that of an interrupt."""
        return self.outcome in {Exit.COMPLETE.name.lower(), Exit.INTERRUPTED.name.lower()}

    @property
    def failed(self) -> bool:
        """Whether anything went wrong that must not: it failed, its books are wrong, or a promise was broken."""
        return not self.ended_well or self.books is False or bool(self.violations)


def report(number: int, result: SessionResult, normalise: Normalise, message_samples: int) -> SessionReport:
    """Judge a session; each message is sent when its last sample has been spoken."""
    transcript, stream = result.transcript, result.stream
    spoken = stream.spoken(transcript.sent_samples)
    first_s, end_s = transcript.first_audio_s, transcript.sent_at_s(duration_s(transcript.sent_samples))
    speaking_s = None if first_s is None or end_s is None else (first_s, end_s)
    setup_s = _between(transcript.opened_s, transcript.ready_s)
    return SessionReport(
        number=number,
        session=transcript.config.session if transcript.config else None,
        outcome=result.outcome.exit_code.name.lower(),
        problem=result.outcome.sentence,
        utterances=stream.key[: len(spoken.texts)],
        audio_s=duration_s(transcript.sent_samples),
        speaking_s=speaking_s,
        scores=tuple(score(spoken.texts, transcript.committed, normalise)),
        spoken_words=sum(bool(normalise(word.text)) for word in spoken.words),
        heard_words=len(normalise(transcript.committed)),
        word_times=tuple(word_times(spoken.words, transcript.words, transcript.sent_at_s, normalise)),
        changed_words=result.changed_words,
        setup_ms=None if setup_s is None else 1000.0 * setup_s,
        first_word_s=_between(transcript.first_audio_s, transcript.first_word_s),
        last_words_s=_last_words_s(transcript),
        flush_s=_between(transcript.ended_s, transcript.done_s),
        held_back_s=_held_back_s(speaking_s, transcript.sent_samples - message_samples),
        books=transcript.balanced,
        dropped_s=duration_s(transcript.accounting.dropped) if transcript.accounting else 0.0,
        moves=len(transcript.moves),
        violations=tuple(transcript.violations),
        text=transcript.committed,
    )


def _last_words_s(transcript: Transcript) -> float | None:
    committed_s = [word.committed_s for word in transcript.words if word.committed_s is not None]
    if transcript.ended_s is None or not transcript.complete or not committed_s:
        return None
    return max(0.0, max(committed_s) - transcript.ended_s)


def _held_back_s(speaking_s: tuple[float, float] | None, samples_before: int) -> float | None:
    """Compare the last message with the clock: each is due when its last sample has been spoken."""
    if speaking_s is None:
        return None
    return max(0.0, speaking_s[1] - speaking_s[0] - max(0, samples_before) / SAMPLE_RATE)


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else end_s - start_s


def all_speaking_s(reports: Sequence[SessionReport]) -> tuple[float, float] | None:
    """Return from when until when all sessions spoke, those that failed or were refused aside; None if never."""
    spoken = [each.speaking_s for each in reports if each.speaking_s is not None and each.ended_well]
    if not spoken:
        return None
    start_s, end_s = max(pair[0] for pair in spoken), min(pair[1] for pair in spoken)
    return (start_s, end_s) if start_s < end_s else None

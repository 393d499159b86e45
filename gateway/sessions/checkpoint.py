"""Core: all that a worker needs to go on with a session: its audio, how far it has come, and what its client wants."""

from gateway.sessions.commands import LeaseMessage, SessionAccounting
from gateway.sessions.journal import Journal
from shared import messages as m


class Checkpoint:
    """A session's journal and resume state, which make it independent of its worker. Positions are in samples.

    Args:
        session: unique name.
        language: Whisper code or None to detect it.
        task: ``transcribe`` or ``translate``.
        journal_s: how much audio may be kept.

    Attributes:
        journal: the audio that a worker may still need.
        decoded: the end of what a worker has used.
        ended_at: where the client has ended its audio, None while it may say more.
    """

    def __init__(self, session: str, *, language: str | None, task: str, journal_s: float) -> None:
        self.journal = Journal()
        self.decoded = 0
        self.ended_at: int | None = None
        self._session = session
        self._language = language
        self._task = task
        self._most = int(journal_s * m.SAMPLE_RATE)
        self._dangling = b""
        self._finalize_at: int | None = None
        self._resume: m.ResumeState | None = None

    # --- what the client says -------------------------------------------------------------------------------

    def append(self, data: bytes) -> tuple[int, bytes]:
        """Take PCM of any length, for a sample may be cut in two; return the whole samples, and where they begin."""
        data = self._dangling + data
        whole = len(data) & ~1
        self._dangling = data[whole:]
        return self.journal.append(data[:whole]), data[:whole]

    def drop_half_sample(self) -> None:
        """Forget what a socket had begun: the next one sends on from a whole sample."""
        self._dangling = b""

    def finalize(self) -> int:
        """Note that everything said so far is to be committed; return up to where."""
        self._finalize_at = self.received
        return self.received

    def end(self) -> int:
        """Note that the client has said everything; return where that ends."""
        self.ended_at = self.received
        return self.received

    # --- what a worker is told, and says --------------------------------------------------------------------

    def opening_messages(self, lease: int) -> list[LeaseMessage]:
        """Return what opens a stream that goes on from here, wherever that is."""
        start = self.journal.start
        messages: list[LeaseMessage] = [
            m.Open(lease, self._session, self._language, self._task, start, self._resume),
            *(m.Audio(lease, at, pcm) for at, pcm in self.journal.read(start)),
        ]
        if self.ended_at is not None:
            messages.append(m.Finish(lease, self.ended_at))
        elif self._finalize_at is not None:
            messages.append(m.Finalize(lease, self._finalize_at))
        return messages

    def is_consistent(self, message: m.Hypothesis) -> bool:
        """Tell whether a hypothesis can be about this session's audio. After a move its ends of words may differ."""
        books, keep_from = message.resume.books, message.keep_from
        known = self.journal.start <= keep_from <= self.received
        return known and books.until == keep_from == books.transcribed + books.silence

    def advance(self, message: m.Hypothesis) -> None:
        """Note how far a worker has come, and forget the audio that no worker will need any more."""
        self.journal.trim(message.keep_from)
        self.decoded = min(self.received, max(self.decoded, message.decoded))
        self._resume = message.resume
        if self._finalize_at is not None and message.resume.window_start >= self._finalize_at:
            self._finalize_at = None

    def is_complete(self, books: m.AudioAccounting) -> bool:
        """Tell whether a worker's last books account for everything that was said."""
        asked = self.ended_at is not None
        return asked and books.until == self.received and books.transcribed + books.silence == books.until

    def close(self, books: m.AudioAccounting | None, reason: str) -> SessionAccounting:
        """Close the books, complete ones or those of the last hypothesis, and forget the audio."""
        done = books or (self._resume.books if self._resume else m.AudioAccounting(0, 0, 0))
        dropped = self.received - done.until
        self.journal.trim(self.journal.end)
        self._resume = None
        return SessionAccounting(self.received, done.transcribed, done.silence, dropped, reason if dropped else None)

    # --- figures --------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.journal.end

    @property
    def held_samples(self) -> int:
        """Return how many samples are kept."""
        return self.journal.end - self.journal.start

    @property
    def capacity_bytes(self) -> int:
        """Return how much PCM may be taken now."""
        return max(0, self._most - self.held_samples) * 2

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return max(0, self.received - self.decoded) / m.SAMPLE_RATE

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.journal.check()
        assert self.decoded <= self.received
        assert self.ended_at in (None, self.received)

"""All that another worker needs to go on with a session: its audio, how far it has come, and what was asked for."""

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
        ended_at: where the client has ended its audio; None before.
    """

    def __init__(self, session: str, *, language: str | None, task: str, journal_s: float) -> None:
        self.journal = Journal()
        self.decoded = 0
        self.ended_at: int | None = None
        self._session = session
        self._language = language
        self._task = task
        self._max_samples = int(journal_s * m.SAMPLE_RATE)
        self._half_sample = b""
        self._finalize_at: int | None = None
        self._paused = False
        self._resume: m.ResumeState | None = None

    # --- from the client ------------------------------------------------------------------------------------

    def append(self, data: bytes) -> tuple[int, bytes]:
        """Add PCM, keeping back half a sample at its end; return where the whole samples begin, and the samples."""
        data = self._half_sample + data
        whole = len(data) & ~1
        self._half_sample = data[whole:]
        return self.journal.append(data[:whole]), data[:whole]

    def drop_half_sample(self) -> None:
        """Drop what the former connection had begun: the next one goes on with a whole sample."""
        self._half_sample = b""

    def finalize(self, *, paused: bool = False) -> int:
        """Note that the audio received so far is to be committed, see `m.Finalize`; return its end."""
        self._finalize_at, self._paused = self.received, paused
        return self.received

    def end(self) -> int:
        """Note that no more audio will come; return the end of what has."""
        self.ended_at = self.received
        return self.received

    # --- to and from workers --------------------------------------------------------------------------------

    def opening_messages(self, lease: int) -> list[LeaseMessage]:
        """Return the messages that open a stream, new or resumed, and bring it all audio that it needs."""
        start = self.journal.start
        messages: list[LeaseMessage] = [
            m.Open(lease, self._session, self._language, self._task, start, self._resume),
            *(m.Audio(lease, at, pcm) for at, pcm in self.journal.read(start)),
        ]
        if self.ended_at is not None:
            messages.append(m.Finish(lease, self.ended_at))
        elif self._finalize_at is not None:
            messages.append(m.Finalize(lease, self._finalize_at, self._paused))
        return messages

    def is_consistent(self, message: m.Hypothesis) -> bool:
        """Return True if the positions in a hypothesis fit the audio here and add up.

        The ends of committed words are not compared: after a migration they may differ by a little.
        """
        accounting, keep_from = message.resume.accounting, message.keep_from
        known = self.journal.start <= keep_from <= self.received
        return known and accounting.until == keep_from == _counted(accounting)

    def advance(self, message: m.Hypothesis) -> None:
        """Note how far a worker has come, and drop the audio that no worker will need any more."""
        self.journal.trim(message.keep_from)
        self.decoded = min(self.received, max(self.decoded, message.decoded))
        self._resume = message.resume
        if self._finalize_at is not None and message.resume.window_start >= self._finalize_at:
            self._finalize_at = None

    def is_complete(self, accounting: m.AudioAccounting) -> bool:
        """Return True if a worker's final accounting covers all audio, and no more will come."""
        return self.ended_at is not None and accounting.until == self.received == _counted(accounting)

    def close(self, accounting: m.AudioAccounting | None, outcome: str) -> SessionAccounting:
        """Drop the audio; return what became of it, by the worker's final accounting or that of the last hypothesis."""
        done = accounting or (self._resume.accounting if self._resume else m.AudioAccounting(0, 0, 0))
        dropped = self.received - done.until
        self.journal.trim(self.journal.end)
        self._resume = None
        reason = outcome if dropped else None
        return SessionAccounting(self.received, done.transcribed, done.silence, dropped, reason, done.unclear)

    # --- figures --------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.journal.end

    @property
    def held_samples(self) -> int:
        return self.journal.end - self.journal.start

    @property
    def capacity_bytes(self) -> int:
        """Return how much PCM the journal has room for."""
        return max(0, self._max_samples - self.held_samples) * 2

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return max(0, self.received - self.decoded) / m.SAMPLE_RATE

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.journal.check()
        assert self.decoded <= self.received
        assert self.ended_at in (None, self.received)


def _counted(accounting: m.AudioAccounting) -> int:
    return accounting.transcribed + accounting.silence + accounting.unclear

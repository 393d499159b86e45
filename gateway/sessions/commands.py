"""What a session wants done, the bounds it keeps, and the books it closes with."""

from dataclasses import dataclass

from shared import messages as m

ToLease = m.Prepare | m.Open | m.Audio | m.Finalize | m.Finish | m.Close
"""Messages that are about one lease."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this message to the worker that holds its lease."""

    message: ToLease


@dataclass(frozen=True, slots=True)
class Lease:
    """Find a slot for the session; ``avoid`` names a worker that has just failed it."""

    avoid: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lease back; ``close`` tells the worker too."""

    lease: int
    close: bool


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the client's socket once everything queued has been sent."""

    code: int
    reason: str
    linger_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The session has become ready for the first time; ``load_ms`` is the worker's part."""

    load_ms: float


@dataclass(frozen=True, slots=True)
class Departure:
    """When and why a session was left without a worker, and whose it was."""

    gpu_id: int | None
    cause: str
    at: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The session goes on on another worker after ``gap_s`` seconds without one."""

    gap_s: float
    from_gpu: int | None
    cause: str


Action = Tell | Lease | Release | Hangup | Ready | Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBounds:
    """A session's bounds, from the gateway's settings, in seconds; ``max_unread`` in messages."""

    journal_s: float
    max_session_s: float
    idle_timeout_s: float
    stall_limit_s: float
    start_wait_s: float
    open_wait_s: float
    finish_wait_s: float
    line_wait_s: float
    resume_grace_s: float
    max_unread: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """A session's audio in samples; ``received = transcribed + silence + dropped``."""

    received: int
    transcribed: int
    silence: int
    dropped: int
    reason: str | None

    def as_json(self) -> dict[str, object]:
        """Return the books as ``ready_to_stop`` carries them, in samples."""
        return {
            "received": self.received,
            "transcribed": self.transcribed,
            "silence": self.silence,
            "dropped": self.dropped,
        }

    def check(self) -> None:
        """Assert that the books add up."""
        assert self.received == self.transcribed + self.silence + self.dropped, self

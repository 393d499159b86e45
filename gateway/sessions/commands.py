"""What a session asks the gateway to do, the bounds that it keeps, and what became of its audio."""

from dataclasses import dataclass

from shared import messages as m

LeaseMessage = m.Prepare | m.Open | m.Audio | m.Finalize | m.Finish | m.Close
"""Messages that are about one lease."""


@dataclass(frozen=True, slots=True)
class SendToWorker:
    """Send a message to the worker that its lease is on."""

    message: LeaseMessage


@dataclass(frozen=True, slots=True)
class RequestSlot:
    """Find a slot for the session, if possible not on the worker ``avoid``, which has just failed it."""

    avoid: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """End a lease; with ``close`` the worker gets a `Close`."""

    lease: int
    close: bool


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close the client's connection once everything queued has been sent; wait ``linger_s`` for it to do so first."""

    code: int
    reason: str
    linger_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BecameReady:
    """Report that the session is ready for the first time; ``load_ms`` is the worker's part of the time it took."""

    load_ms: float


@dataclass(frozen=True, slots=True)
class Migrated:
    """Report that the session goes on on another worker, after ``gap_s`` seconds without one."""

    gap_s: float
    from_gpu: int | None
    cause: str


@dataclass(frozen=True, slots=True)
class Hinted:
    """Report that the client was told something about its audio, under a stable code."""

    code: str
    sentence: str


Command = SendToWorker | RequestSlot | ReleaseSlot | CloseConnection | BecameReady | Migrated | Hinted


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """A session's bounds, in seconds, ``max_unread`` in messages; `GatewaySettings` has their meanings."""

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
class SessionAccounting:
    """What became of a session's audio, in samples: ``received = transcribed + silence + unclear + dropped``.

    ``reason`` is the session's outcome if audio was dropped.
    """

    received: int
    transcribed: int
    silence: int
    dropped: int
    reason: str | None
    unclear: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the samples as ``ready_to_stop`` carries them."""
        return {
            "received": self.received,
            "transcribed": self.transcribed,
            "silence": self.silence,
            "unclear": self.unclear,
            "dropped": self.dropped,
        }

    def check(self) -> None:
        """Assert that every sample is accounted for once."""
        assert self.received == self.transcribed + self.silence + self.unclear + self.dropped, self

"""The bounds of time that a session must keep, and when they began to run."""

from dataclasses import dataclass

from gateway.sessions.commands import SessionLimits
from gateway.sessions.state import State
from shared.errors import NoCapacityError, OverloadedError, RecognitionError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE

RETRY_AFTER_S = 5.0
"""After this time a client that found no slot may try again."""


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """What the bounds depend on.

    Attributes:
        state: of the session.
        listening: the client is expected to send, and what it sends can be taken.
        was_ready: the session has been ready before.
        committed_until: the end of its last committed word, in samples.
    """

    state: State
    listening: bool
    was_ready: bool
    committed_until: int


class Deadlines:
    """A session's times, in seconds of a monotonic clock.

    Attributes:
        last_activity: when the client last sent something.
        state_since: when the session entered its present state.
        detached_at: when the client's connection was lost last.
    """

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self.last_activity = self.state_since = self.detached_at = now
        self._started = now
        self._full_since: float | None = None
        self._limits = limits

    def note_backpressure(self, now: float, *, full: bool) -> None:
        """Note whether a full journal holds the client back: then it is not idle, although it sends nothing."""
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        else:
            self.last_activity = now

    def grace_expired(self, now: float) -> bool:
        """Return True if a client that is away has been away for longer than the grace."""
        return now - self.detached_at >= self._limits.resume_grace_s

    def opening_overdue(self, since: float, now: float) -> bool:
        """Return True if a slot that has been getting ready since then takes too long."""
        return now - since >= self._limits.open_wait_s

    def expired(self, status: SessionStatus, now: float) -> SessionError | None:
        """Return the error that ends the session now, if one of its bounds is met."""
        due = self._client_overdue(status, now) or self._server_overdue(status, now - self.state_since, now)
        if due is None:
            return None
        kind, sentence = due
        return kind(sentence, retry_after_s=RETRY_AFTER_S if kind is NoCapacityError else None)

    def _client_overdue(self, status: SessionStatus, now: float) -> tuple[type[SessionError], str] | None:
        limits = self._limits
        if now - self._started >= limits.max_session_s:
            return SessionLimitError, f"The session reached its limit of {limits.max_session_s:g} s"
        if status.listening and now - self.last_activity >= limits.idle_timeout_s:
            return SessionLimitError, f"Nothing was received for {limits.idle_timeout_s:g} s"
        return None

    def _server_overdue(
        self, status: SessionStatus, waited: float, now: float
    ) -> tuple[type[SessionError], str] | None:
        limits, said = self._limits, f"; {status.committed_until / SAMPLE_RATE:.1f} s are transcribed"
        if self._full_since is not None and now - self._full_since >= limits.stall_limit_s:
            return OverloadedError, f"Recognition has been behind for {limits.stall_limit_s:g} s{said}"
        match status.state:
            case State.WAITING if status.was_ready and waited >= limits.line_wait_s:
                reason = f"no slot became free within {limits.line_wait_s:g} s{said}"
                return NoCapacityError, f"No GPU resources available: {reason}"
            case State.WAITING if not status.was_ready and waited >= limits.start_wait_s:
                return NoCapacityError, "No GPU resources available"
            case State.FINISHING if waited >= limits.finish_wait_s:
                return RecognitionError, f"The last words did not come within {limits.finish_wait_s:g} s{said}"
            case _:
                return None

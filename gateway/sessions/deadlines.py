"""The bounds of time that a session must keep, and when they began to run."""

from dataclasses import dataclass

from gateway.sessions.commands import SessionLimits
from gateway.sessions.state import State
from shared.errors import NoCapacityError, OverloadedError, RecognitionError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE

PAUSE_S = 1.5
"""When no audio has come for this long, every word said so far becomes final: within two seconds, with the decoding."""

MESSAGE_PAUSES = 1.25
"""A client that sends seconds of audio in one message pauses only if that many times their length has passed."""

FINALIZE_PAUSE_S = 0.4
"""After a `finalize` of the client so short a pause is enough: then an utterance is closed that has only begun."""

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
        flushing: its audio has ended, and the rest is being decoded.
    """

    state: State
    listening: bool
    was_ready: bool
    committed_until: int
    flushing: bool


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
        self._full_at = 0
        self._pause_began: float | None = None
        self._pause_ends_s = PAUSE_S
        self._message_s = 0.0
        self._limits = limits

    def note_backpressure(self, now: float, *, full: bool, decoded: int) -> None:
        """Note whether a full journal holds the client back: then it is not idle, although it sends nothing.

        Nor is it stalled while ``decoded``, the end of the audio that a worker has used, goes on.
        """
        if not full:
            self._full_since = None
            return
        if self._full_since is None or decoded > self._full_at:
            self._full_since, self._full_at = now, decoded
        self._note_hindered(now)

    def note_audio(self, now: float) -> None:
        """Note that audio has come."""
        self.last_activity = self._pause_began = now
        self._pause_ends_s = max(PAUSE_S, MESSAGE_PAUSES * self._message_s)

    def note_message(self, length_s: float) -> None:
        """Note how much audio the client has sent in one message."""
        self._message_s = length_s

    def note_resumed(self, now: float) -> None:
        """Note that the client is back: that it was away is no pause of the one who speaks."""
        self._note_hindered(now)

    def _note_hindered(self, now: float) -> None:
        """Begin to count anew: until now the client could not send."""
        self.last_activity = now
        if self._pause_began is not None:
            self._pause_began = now

    def note_finalize(self, now: float) -> None:
        """Note that the client wants what it has said to be final."""
        self.last_activity = now
        self._pause_ends_s = FINALIZE_PAUSE_S

    def pause_over(self, now: float) -> bool:
        """Return True, once in each pause of the audio, when it has lasted so long that all of it is to be final."""
        if self._pause_began is None or now - self._pause_began < self._pause_ends_s:
            return False
        self._pause_began = None
        return True

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
        if not status.flushing and now - self._started >= limits.max_session_s:
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

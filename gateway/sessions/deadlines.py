"""How long a session has been as it is, and how long it may be so."""

from dataclasses import dataclass

from gateway.sessions.commands import SessionBounds
from gateway.sessions.state import State
from shared.errors import NoCapacityError, OverloadedError, RecognitionError, SessionError, SessionLimitError
from shared.messages import SAMPLE_RATE

RETRY_AFTER_S = 5.0
"""When a client that found no slot may try again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a session is at the moment of asking.

    Attributes:
        state: where it stands.
        listening: more of the client is expected, and could be taken.
        was_ready: it has had a slot.
        committed_until: the end of its last committed word, in samples.
    """

    state: State
    listening: bool
    was_ready: bool
    committed_until: int


class Patience:
    """A session's times, in seconds of a monotonic clock.

    Attributes:
        heard: the client's last sign of life.
        since: when the session entered its present state.
        detached: when the client's socket was lost last.
        standby_since: since when a slot elsewhere is being prepared.
    """

    def __init__(self, bounds: SessionBounds, now: float) -> None:
        self.heard = self.since = self.detached = self.standby_since = now
        self._started = now
        self._full_since: float | None = None
        self._bounds = bounds

    def held_back(self, now: float, *, full: bool) -> None:
        """Note whether the client is held back by a full journal: then it is not silent."""
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        else:
            self.heard = now

    def gone(self, now: float) -> bool:
        """Tell whether a client that is away has been so for longer than the grace."""
        return now - self.detached >= self._bounds.resume_grace_s

    def opening_overdue(self, now: float) -> bool:
        """Tell whether a session that is opening has been so for too long."""
        return now - self.since >= self._bounds.open_wait_s

    def standby_overdue(self, now: float) -> bool:
        """Tell whether a slot elsewhere has been prepared for too long."""
        return now - self.standby_since >= self._bounds.open_wait_s

    def overdue(self, standing: Standing, now: float) -> SessionError | None:
        """Return the error that ends the session now, if one of its bounds is met."""
        due = self._client_overdue(standing, now) or self._server_overdue(standing, now - self.since, now)
        if due is None:
            return None
        kind, sentence = due
        return kind(sentence, retry_after_s=RETRY_AFTER_S if kind is NoCapacityError else None)

    def _client_overdue(self, standing: Standing, now: float) -> tuple[type[SessionError], str] | None:
        bounds = self._bounds
        if now - self._started >= bounds.max_session_s:
            return SessionLimitError, f"The session reached its limit of {bounds.max_session_s:g} s"
        if standing.listening and now - self.heard >= bounds.idle_timeout_s:
            return SessionLimitError, f"Nothing was received for {bounds.idle_timeout_s:g} s"
        return None

    def _server_overdue(self, standing: Standing, waited: float, now: float) -> tuple[type[SessionError], str] | None:
        bounds, said = self._bounds, f"; {standing.committed_until / SAMPLE_RATE:.1f} s are transcribed"
        if self._full_since is not None and now - self._full_since >= bounds.stall_limit_s:
            return OverloadedError, f"Recognition has been behind for {bounds.stall_limit_s:g} s{said}"
        match standing.state:
            case State.WAITING if standing.was_ready and waited >= bounds.line_wait_s:
                reason = f"no slot became free within {bounds.line_wait_s:g} s{said}"
                return NoCapacityError, f"No GPU resources available: {reason}"
            case State.WAITING if not standing.was_ready and waited >= bounds.start_wait_s:
                return NoCapacityError, "No GPU resources available"
            case State.FINISHING if waited >= bounds.finish_wait_s:
                return RecognitionError, f"The last words did not come within {bounds.finish_wait_s:g} s{said}"
            case _:
                return None

"""One conversation: its states, its journal, its transcript. Events and ``now`` in, actions out.

A session knows neither sockets nor workers: it has a lease or it has none. Whenever it gets one, it opens a stream
with all it knows (journal and resume state), so the first lease and every later one take the same way.
"""

import enum

from gateway.actions import Accounts, Action, Hangup, Lease, Ready, Release, SessionBounds, Tell
from gateway.journal import Journal
from gateway.transcript import Transcript
from gateway.views import View
from shared import messages as m
from shared.errors import NoCapacityError, OverloadedError, RecognitionError, SessionError, SessionLimitError


class State(enum.Enum):
    """Where a session stands."""

    WAITING = "waiting"  # has no lease; audio is kept
    OPENING = "opening"  # has a lease; the worker prepares
    READY = "ready"  # words flow
    FINISHING = "finishing"  # the audio has ended; the last words are awaited
    ENDED = "ended"


_NEXT: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.OPENING, State.ENDED}),
    State.OPENING: frozenset({State.READY, State.FINISHING, State.WAITING, State.ENDED}),
    State.READY: frozenset({State.FINISHING, State.WAITING, State.ENDED}),
    State.FINISHING: frozenset({State.WAITING, State.ENDED}),
    State.ENDED: frozenset(),
}


MAX_DEATHS = 3
"""Leases lost without any progress in between before the session itself is held to be the cause."""


class Session:
    """One client's conversation, from accept to its last word.

    Args:
        session_id: unique name.
        view: what tells the client.
        transcript: the text, shared with the view.
        language: Whisper code or None to detect it.
        task: ``transcribe`` or ``translate``.
        now: seconds of a monotonic clock, as in every call.
        bounds: see `SessionBounds`.
    """

    def __init__(
        self,
        session_id: str,
        *,
        view: View,
        transcript: Transcript,
        language: str | None,
        task: str,
        now: float,
        bounds: SessionBounds,
    ) -> None:
        self.id = session_id
        self.state = State.WAITING
        self.lease: int | None = None
        self.gpu_id: int | None = None
        self.journal = Journal()
        self.transcript = transcript
        self.chunks = 0
        self.transcriptions = 0
        self.was_ready = False
        self.moves = 0
        self.decoded = 0
        self.error: SessionError | None = None
        self.accounts: Accounts | None = None
        self._view = view
        self._language = language
        self._task = task
        self._bounds = bounds
        self._started = now
        self._heard = now
        self._since = now  # entered the present state
        self._full_since: float | None = None
        self._dangling = b""
        self._ended_at: int | None = None
        self._finalize_at: int | None = None
        self._resume: m.ResumeState | None = None
        self._deaths = 0
        self._retired_by: SessionError | None = None

    # --- the way to a slot ----------------------------------------------------------------------------------

    def begin(self) -> list[Action]:
        """Greet the client and ask for a slot."""
        self._view.status("Connected", None)
        self._view.status("Allocating GPU...", None)
        return [Lease()]

    def granted(self, lease: int, gpu_id: int, now: float) -> list[Action]:
        """Take a lease: open a stream there with everything that is known."""
        moved = self.was_ready
        self._enter(State.OPENING, now)
        self.lease, self.gpu_id = lease, gpu_id
        self._view.status(f"Moving to GPU {gpu_id}..." if moved else f"Loading models on GPU {gpu_id}...", gpu_id)
        start = self.journal.start
        opening: list[m.ToWorker] = [
            m.Open(lease, self.id, self._language, self._task, start, self._resume),
            *(m.Audio(lease, at, pcm) for at, pcm in self.journal.read(start)),
        ]
        if self._ended_at is not None:
            opening.append(m.Finish(lease, self._ended_at))
        elif self._finalize_at is not None:
            opening.append(m.Finalize(lease, self._finalize_at))
        return [Tell(message) for message in opening]

    def unplaced(self, error: SessionError) -> list[Action]:
        """There is no slot: end with the error that says so."""
        return self._fail(error)

    def opened(self, load_ms: float, now: float) -> list[Action]:
        """The worker is ready for the session."""
        if self.state is not State.OPENING:
            return []
        self._enter(State.FINISHING if self._ended_at is not None else State.READY, now)
        first, self.was_ready = not self.was_ready, True
        if first:
            self._view.status("Ready to transcribe", self.gpu_id)
            return [Ready(load_ms)]
        self.moves += 1
        if self.gpu_id is not None:
            self._view.moved(self.gpu_id)
        return []

    def lost(self, reason: str, now: float, *, worker: str, blame: bool = True) -> list[Action]:
        """The lease is gone: ask for another, unless this session seems to be what kills its workers."""
        if self.state in (State.ENDED, State.WAITING):
            return []
        self.lease = None
        self._deaths += blame
        if self._deaths >= MAX_DEATHS:
            return self._fail(RecognitionError(f"Recognition failed {self._deaths} times: {reason}"))
        self._enter(State.WAITING, now)
        return [Lease(avoid=worker)]

    # --- the client's side ----------------------------------------------------------------------------------

    def audio(self, data: bytes, now: float) -> list[Action]:
        """Take PCM of any length; a sample may be cut in two across messages."""
        self._heard = now
        if self._ended_at is not None or self.state is State.ENDED:
            return []
        self.chunks += 1
        data = self._dangling + data
        whole = len(data) & ~1
        self._dangling = data[whole:]
        at = self.journal.append(data[:whole])
        if self.lease is None or not whole:
            return []
        return [Tell(m.Audio(self.lease, at, data[:whole]))]

    def alive(self, now: float) -> None:
        """Note a sign of life that is no audio."""
        self._heard = now

    def finalize(self, now: float) -> list[Action]:
        """Have everything said so far committed, then go on."""
        self._heard = now
        self._finalize_at = self.received
        return [] if self.lease is None else [Tell(m.Finalize(self.lease, self._finalize_at))]

    def end_of_audio(self, now: float) -> list[Action]:
        """The client has said everything: flush, then tell it when it is done."""
        self._heard = now
        if self._ended_at is not None or self.state is State.ENDED:
            return []
        self._ended_at = self.received
        if self.state is State.READY:
            self._enter(State.FINISHING, now)
        return [] if self.lease is None else [Tell(m.Finish(self.lease, self._ended_at))]

    def disconnected(self) -> list[Action]:
        """The client is gone: give the slot back."""
        return self._end("client_left") if self.state is not State.ENDED else []

    # --- the worker's side ----------------------------------------------------------------------------------

    def hypothesis(self, message: m.Hypothesis) -> list[Action]:
        """Take a step's result."""
        if message.keep_from > self.received or message.committed_until < self.transcript.committed_until:
            return self._fail(RecognitionError("The worker's positions contradict the session's"))
        if message.words or message.keep_from > self.journal.start:
            self._deaths = 0
        self.journal.trim(message.keep_from)
        self.decoded = max(self.decoded, message.decoded)
        self._resume = message.resume
        if self._finalize_at is not None and message.keep_from >= self._finalize_at:
            self._finalize_at = None
        self.transcriptions += self.transcript.apply(message)
        self._view.changed(self.received, self.lag_s)
        return []

    def finished(self, message: m.Finished) -> list[Action]:
        """Everything is said: close the books and tell the client."""
        books = message.books
        if books.until != self.received or books.transcribed + books.silence != books.until:
            return self._fail(RecognitionError("The worker's books do not add up"))
        self._resume = None
        self.decoded = self.received
        self.transcript.close()
        if self._retired_by is not None:
            return self._fail(self._retired_by, books=books)
        ending = self._end("complete", books=books)
        self._view.ready_to_stop(audio(self.accounts) if self.accounts else {})
        return [*ending, Hangup(1000, "", linger_s=5.0)]

    def stream_failed(self, reason: str, now: float, *, worker: str) -> list[Action]:
        """The session's recognition raised; try another worker, a few times."""
        return self.lost(reason, now, worker=worker)

    # --- time -----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Action]:
        """Enforce the bounds of time."""
        self._full_since = (self._full_since or now) if self.full else None
        error = None if self.state is State.ENDED else self._overdue(now)
        return [] if error is None else self._fail(error)

    def _overdue(self, now: float) -> SessionError | None:
        bounds, waited = self._bounds, now - self._since
        idle = self._ended_at is None and not self.full and now - self._heard >= bounds.idle_timeout_s
        behind = self._full_since is not None and now - self._full_since >= bounds.stall_limit_s
        rules: list[tuple[bool, type[SessionError], str]] = [
            (
                now - self._started >= bounds.max_session_s,
                SessionLimitError,
                f"The session reached its limit of {bounds.max_session_s:g} s",
            ),
            (idle, SessionLimitError, f"Nothing was received for {bounds.idle_timeout_s:g} s"),
            (behind, OverloadedError, f"Recognition has been behind for {bounds.stall_limit_s:g} s"),
            (
                self.state is State.WAITING and waited >= bounds.start_wait_s,
                NoCapacityError,
                "No GPU resources available",
            ),
            (
                self.state is State.OPENING and waited >= bounds.open_wait_s,
                RecognitionError,
                f"The worker did not become ready within {bounds.open_wait_s:g} s",
            ),
            (
                self.state is State.FINISHING and waited >= bounds.finish_wait_s,
                RecognitionError,
                f"The last words did not come within {bounds.finish_wait_s:g} s",
            ),
        ]
        return next((kind(sentence) for due, kind, sentence in rules if due), None)

    def retire(self, error: SessionError, now: float) -> list[Action]:
        """Flush, then end with ``error``: the server goes away."""
        self._retired_by = error
        return self.end_of_audio(now) if self.was_ready else self.stop(error)

    def stop(self, error: SessionError) -> list[Action]:
        """End the session from the server's side."""
        return self._fail(error) if self.state is not State.ENDED else []

    # --- what others may know -------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.journal.end

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return max(0, self.received - self.decoded) / m.SAMPLE_RATE

    @property
    def full(self) -> bool:
        """Tell whether the client must be held back: the journal has met its bound."""
        return self.state is not State.ENDED and self.journal.held_s >= self._bounds.journal_s

    @property
    def room_bytes(self) -> int:
        """Return how much PCM may be taken now."""
        return max(0, int((self._bounds.journal_s - self.journal.held_s) * m.SAMPLE_RATE) * 2)

    # --- endings --------------------------------------------------------------------------------------------

    def _enter(self, state: State, now: float) -> None:
        assert state in _NEXT[self.state], (self.state, state)
        self.state = state
        self._since = now

    def _fail(self, error: SessionError, *, books: m.Books | None = None) -> list[Action]:
        self.error = error
        ending = self._end(error.code, books=books)
        self._view.changed(self.received, self.lag_s)
        self._view.error(error.message, error.code, error.retry_after_s)
        return [*ending, Hangup(error.close_code, error.message)]

    def _end(self, reason: str, *, books: m.Books | None = None) -> list[Action]:
        """Close the books; complete ones come from the worker, which has then freed the slot itself."""
        self.state = State.ENDED
        done = books or (self._resume.books if self._resume else m.Books(0, 0, 0))
        dropped = self.received - done.until
        self.accounts = Accounts(self.received, done.transcribed, done.silence, dropped, reason if dropped else None)
        self.journal.trim(self.journal.end)
        lease, self.lease = self.lease, None
        return [] if lease is None else [Release(lease, close=books is None)]

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.journal.check()
        self.transcript.check()
        assert (self.lease is not None) == (self.state in (State.OPENING, State.READY, State.FINISHING))
        assert self.decoded <= self.received
        assert (self.accounts is not None) == (self.state is State.ENDED)
        if self.accounts is not None:
            self.accounts.check()


def audio(accounts: Accounts) -> dict[str, object]:
    """Return the books as ``ready_to_stop`` carries them, in samples."""
    return {
        "received": accounts.received,
        "transcribed": accounts.transcribed,
        "silence": accounts.silence,
        "dropped": accounts.dropped,
    }

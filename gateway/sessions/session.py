"""One conversation: its states, its leases, its transcript. Events and ``now`` in, actions out.

A session knows neither sockets nor workers: it has a lease or it has none. Whenever it gets one, it opens a stream
with all that its `gateway.sessions.checkpoint` has, so the first lease and every later one take the same way.
"""

from gateway.protocols.views import View
from gateway.sessions.checkpoint import Dossier
from gateway.sessions.commands import (
    Accounts,
    Action,
    Departure,
    Hangup,
    Lease,
    Moved,
    Ready,
    Release,
    SessionBounds,
    Tell,
)
from gateway.sessions.deadlines import Patience, Standing
from gateway.sessions.poison import Suspicion
from gateway.sessions.state import LEASED, NEXT, SETTLED, State
from gateway.sessions.transcript import Transcript
from shared import messages as m
from shared.errors import RecognitionError, SessionError

FORGIVEN_AFTER_S = 30.0
"""A lease that has lived so long clears the session of earlier deaths."""

PARK_AFTER_S = 1.0
"""A session without a client keeps its slot for at least so long, and until less than this is undecoded."""


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
        self.standby: int | None = None
        self._standby_cause = ""
        self.dossier = Dossier(session_id, language=language, task=task, journal_s=bounds.journal_s)
        self.transcript = transcript
        self.chunks = 0
        self.transcriptions = 0
        self.was_ready = False
        self.moves = 0
        self.attached = True
        self.error: SessionError | None = None
        self.outcome: str | None = None
        self.accounts: Accounts | None = None
        self.suspicion = Suspicion()
        self._view = view
        self._patience = Patience(bounds, now)
        self._departure: Departure | None = None
        self._retired_by: SessionError | None = None

    # --- the way to a slot ----------------------------------------------------------------------------------

    def begin(self) -> list[Action]:
        """Greet the client and ask for a slot."""
        self._view.status("Connected", None)
        self._view.status("Allocating GPU...", None)
        return [Lease()]

    def granted(self, lease: int, gpu_id: int, now: float) -> list[Action]:
        """Take a lease: open a stream there with everything that is known."""
        message = f"Moving to GPU {gpu_id}..." if self.was_ready else f"Loading models on GPU {gpu_id}..."
        self._view.status(message, gpu_id)
        return self._open_on(lease, gpu_id, now)

    def _open_on(self, lease: int, gpu_id: int, now: float) -> list[Action]:
        self._enter(State.OPENING, now)
        self.lease, self.gpu_id = lease, gpu_id
        return [Tell(message) for message in self.dossier.opening(lease)]

    def unplaced(self, error: SessionError) -> list[Action]:
        """There is no slot: end with the error that says so."""
        return self._fail(error)

    def queued(self) -> None:
        """There is no slot now for a session that had one: it waits in line, and is told so."""
        self._view.status("Waiting for a free GPU...", None)

    def opened(self, load_ms: float, now: float) -> list[Action]:
        """The worker is ready for the session."""
        if self.state is not State.OPENING:
            return []
        self._enter(State.FINISHING if self._said_all else State.READY, now)
        first, self.was_ready = not self.was_ready, True
        departure, self._departure = self._departure, None
        self._view.status("Ready to transcribe", self.gpu_id)
        if first or departure is None:
            return [Ready(load_ms)]
        self.moves += 1
        if self.gpu_id is not None:
            self._view.moved(self.gpu_id)
        return [Moved(now - departure.at, departure.gpu_id, departure.cause)]

    def lost(
        self,
        reason: str,
        now: float,
        *,
        worker: str,
        cause: str = "worker_lost",
        heard: float | None = None,
        blame: bool = True,
        died: bool = True,
    ) -> list[Action]:
        """The lease is gone: ask for another, unless this session seems to be what kills its workers.

        Args:
            reason: a sentence's part for the client, should this be the end.
            now: the time.
            worker: the name of the one that had the lease.
            cause: the word under which the move is counted.
            heard: when that worker gave its last sign of life, if not just now.
            blame: whether the session may have been what ended it.
            died: it is sure that it has ended, or that the session's stream has.
        """
        if self.state not in LEASED:
            return []
        if self.state is State.READY and now - self._patience.since >= FORGIVEN_AFTER_S:
            self.suspicion.acquit()
        self.lease = None
        self._depart(cause, now if heard is None else heard)
        # A worker that had not opened the session, or had nothing left of it to decode, has not died of it.
        if blame and self.state in SETTLED and self.received > self.decoded:
            self.suspicion.lost(worker, self.received, died=died)
        if self.suspicion.proven:
            return self._fail(RecognitionError(f"Recognition failed {self.suspicion.losses} times: {reason}"))
        self._enter(State.WAITING, now)
        return [] if self.standby is not None else [Lease(avoid=worker)]

    def _depart(self, cause: str, at: float) -> None:
        """Note since when the session has no worker; a second loss on the way prolongs the first."""
        first = self._departure
        self._departure = (
            Departure(self.gpu_id, cause, at) if first is None else Departure(first.gpu_id, cause, first.at)
        )

    # --- moving without a loss ------------------------------------------------------------------------------

    def prepare(self, lease: int, cause: str, now: float) -> list[Action]:
        """A slot elsewhere is held for the session: have it made ready, and go on here until it is."""
        self.standby, self._standby_cause, self._patience.standby_since = lease, cause, now
        return [Tell(m.Prepare(lease, self.id))]

    def prepared(self, gpu_id: int, now: float) -> list[Action]:
        """The slot elsewhere is ready: go on there from the last hypothesis."""
        if self.standby is None:
            return []
        lease, self.standby = self.standby, None
        if self.state not in (State.READY, State.FINISHING, State.WAITING):
            return [Release(lease, close=True)]
        before = self.lease
        if before is not None:
            self._depart(self._standby_cause, now)
        self._view.status(f"Moving to GPU {gpu_id}...", gpu_id)
        freed: list[Action] = [] if before is None else [Release(before, close=True)]
        return [*freed, *self._open_on(lease, gpu_id, now)]

    def standby_lost(self) -> list[Action]:
        """The slot elsewhere is gone; the session stays where it is, or looks for another."""
        self.standby = None
        return [Lease()] if self.state is State.WAITING else []

    # --- the client's side ----------------------------------------------------------------------------------

    def audio(self, data: bytes, now: float) -> list[Action]:
        """Take PCM of any length; a sample may be cut in two across messages."""
        self._patience.heard = now
        if self._said_all or self.state is State.ENDED:
            return []
        at, pcm = self.dossier.append(data)
        return [Tell(m.Audio(self.lease, at, pcm))] if self.lease is not None and pcm else []

    def alive(self, now: float) -> None:
        """Note a sign of life that is no audio."""
        self._patience.heard = now

    def finalize(self, now: float) -> list[Action]:
        """Have everything said so far committed, then go on."""
        self._patience.heard = now
        at = self.dossier.finalize()
        return [] if self.lease is None else [Tell(m.Finalize(self.lease, at))]

    def end_of_audio(self, now: float) -> list[Action]:
        """The client has said everything: flush, then tell it when it is done."""
        self._patience.heard = now
        if self._said_all or self.state is State.ENDED:
            return []
        at = self.dossier.end()
        if self.state is State.READY:
            self._enter(State.FINISHING, now)
        return [] if self.lease is None else [Tell(m.Finish(self.lease, at))]

    def disconnected(self) -> list[Action]:
        """The client has left for good: give the slot back."""
        return self._end("client_left") if self.state is not State.ENDED else []

    def detached(self, now: float) -> list[Action]:
        """The client's network dropped: decode what is there, then wait for it without a slot."""
        self.attached, self._patience.detached = False, now
        self.dossier.drop_half_sample()
        return self._park_if_done(now)

    def resumed(self, now: float) -> list[Action]:
        """The client is back; it sends on from ``received``."""
        self.attached, self._patience.heard = True, now
        self.dossier.drop_half_sample()  # what a socket that was never seen to break had begun
        self._view.status("Connected", None)
        if self.state in (State.READY, State.FINISHING):
            self._view.status("Ready to transcribe", self.gpu_id)
        if self.state is not State.PARKED:
            return []
        self._view.status("Allocating GPU...", None)
        self._depart("resume", now)
        self._enter(State.WAITING, now)
        return [Lease()]

    def _park_if_done(self, now: float) -> list[Action]:
        """A session without a client gives its slot back once everything received is decoded."""
        if self.attached or self.state not in (State.READY, State.WAITING) or self._said_all:
            return []
        # The last part of a step's period is not decoded without more audio: it stays in the journal.
        recent = now - self._patience.detached < PARK_AFTER_S
        if self.state is State.READY and (recent or self.lag_s >= PARK_AFTER_S):
            return []
        lease, self.lease = self.lease, None
        self._enter(State.PARKED, now)
        return [Release(each, close=True) for each in (lease, self._take_standby()) if each is not None]

    # --- the worker's side ----------------------------------------------------------------------------------

    def hypothesis(self, message: m.Hypothesis, now: float) -> list[Action]:
        """Take a step's result."""
        if not self.dossier.believes(message):
            return self._fail(RecognitionError("The worker's positions contradict the session's"))
        self.suspicion.passed(message.decoded)
        self.dossier.take(message)
        self.transcriptions += self.transcript.apply(message)
        self._view.changed(self.received, self.lag_s)
        return self._park_if_done(now)

    def finished(self, message: m.Finished) -> list[Action]:
        """Everything is said: close the books and tell the client."""
        books = message.books
        if not self.dossier.completes(books):
            return self._fail(RecognitionError("The worker's books do not add up"))
        self.dossier.decoded = self.received
        self.transcript.close()
        if self._retired_by is not None:
            return self._fail(self._retired_by, books=books)
        ending = self._end("complete", books=books)
        return [*ending, *self.farewell()]

    def farewell(self) -> list[Action]:
        """Tell the client how the session ended: once at its end, again to a client that was away then."""
        if self.accounts is None:
            return []
        self._view.changed(self.received, self.lag_s)
        if self.error is not None:
            self._view.error(self.error.message, self.error.code, self.error.retry_after_s)
            return [Hangup(self.error.close_code, self.error.message)]
        self._view.ready_to_stop(self.accounts.as_json())
        return [Hangup(1000, "", linger_s=5.0)]

    # --- time -----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Action]:
        """Enforce the bounds of time."""
        self._patience.held_back(now, full=self.full)
        if self.state is State.ENDED:
            return []
        if self.forgotten(now):
            return self._end("client_left")
        listening = self.attached and not self._said_all and not self.full
        standing = Standing(self.state, listening, self.was_ready, self.transcript.committed_until)
        error = self._patience.overdue(standing, now)
        return self._park_if_done(now) if error is None else self._fail(error)

    def overdue(self, now: float) -> int | None:
        """Return the lease for which a worker has been getting ready for too long, if there is one."""
        if self.state is State.OPENING and self._patience.opening_overdue(now):
            return self.lease
        return self.standby if self._patience.standby_overdue(now) else None

    def forgotten(self, now: float) -> bool:
        """Tell whether the client has been away for longer than the grace."""
        return not self.attached and self._patience.gone(now)

    def retire(self, error: SessionError, now: float) -> list[Action]:
        """Flush, then end with ``error``: the server goes away."""
        self._retired_by = error
        return self.end_of_audio(now) if self.was_ready and self.lease is not None else self.stop(error)

    def stop(self, error: SessionError) -> list[Action]:
        """End the session from the server's side."""
        return self._fail(error) if self.state is not State.ENDED else []

    # --- what others may know -------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.dossier.received

    @property
    def decoded(self) -> int:
        """Return how many of them a worker has used."""
        return self.dossier.decoded

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return self.dossier.lag_s

    @property
    def _said_all(self) -> bool:
        return self.dossier.ended_at is not None

    @property
    def full(self) -> bool:
        """Tell whether the client must be held back: the journal has met its bound."""
        return self.state is not State.ENDED and self.room_bytes == 0

    @property
    def room_bytes(self) -> int:
        """Return how much PCM may be taken now."""
        return self.dossier.room_bytes

    @property
    def pausing(self) -> bool:
        """Tell whether nothing is being said: a good moment to move."""
        return self.state is State.READY and not self.transcript.tail and self.lag_s < 1.0

    # --- endings --------------------------------------------------------------------------------------------

    def _enter(self, state: State, now: float) -> None:
        assert state in NEXT[self.state], (self.state, state)
        self.state = state
        self._patience.since = now

    def _fail(self, error: SessionError, *, books: m.Books | None = None) -> list[Action]:
        self.error = error
        ending = self._end(error.code, books=books)
        return [*ending, *self.farewell()]

    def _end(self, reason: str, *, books: m.Books | None = None) -> list[Action]:
        """Close the books; complete ones come from the worker, which has then freed the slot itself."""
        self.state, self.outcome = State.ENDED, reason
        self.accounts = self.dossier.close(books, reason)
        lease, self.lease = self.lease, None
        standby = self._take_standby()
        actions: list[Action] = [] if lease is None else [Release(lease, close=books is None)]
        return actions if standby is None else [*actions, Release(standby, close=True)]

    def _take_standby(self) -> int | None:
        standby, self.standby = self.standby, None
        return standby

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.dossier.check()
        self.transcript.check()
        assert (self.lease is not None) == (self.state in LEASED)
        assert self.standby is None or self.state in LEASED or self.state is State.WAITING
        assert (self.accounts is not None) == (self.state is State.ENDED)
        if self.accounts is not None:
            self.accounts.check()

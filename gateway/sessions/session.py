"""One conversation: its states, its leases, its transcript. Events and ``now`` in, actions out.

A session knows neither sockets nor workers: it has a lease or it has none. Whenever it gets one, it opens a stream
with all that its `gateway.sessions.checkpoint` has, so the first lease and every later one take the same way.
"""

from gateway.sessions.checkpoint import Checkpoint
from gateway.sessions.commands import (
    BecameReady,
    CloseConnection,
    Command,
    Interruption,
    Migrated,
    ReleaseSlot,
    RequestSlot,
    SendToWorker,
    SessionAccounting,
    SessionLimits,
)
from gateway.sessions.deadlines import Deadlines, SessionStatus
from gateway.sessions.poison import PoisonDetector
from gateway.sessions.presenter import Presenter
from gateway.sessions.state import LEASED, NEXT, SETTLED, IllegalTransitionError, State
from gateway.sessions.transcript import Transcript
from shared import messages as m
from shared.errors import RecognitionError, SessionError

POISON_RESET_S = 30.0
"""A lease that has lived so long clears the session of earlier deaths."""

PARK_AFTER_S = 1.0
"""A session without a client keeps its slot for at least so long, and until less than this is undecoded."""


class Session:
    """One client's conversation, from accept to its last word.

    Args:
        session_id: unique name.
        presenter: tells the client.
        transcript: the text, shared with the presenter.
        language: Whisper code or None to detect it.
        task: ``transcribe`` or ``translate``.
        now: seconds of a monotonic clock, as in every call.
        limits: see `SessionLimits`.
    """

    def __init__(
        self,
        session_id: str,
        *,
        presenter: Presenter,
        transcript: Transcript,
        language: str | None,
        task: str,
        now: float,
        limits: SessionLimits,
    ) -> None:
        self.id = session_id
        self.state = State.WAITING
        self.lease: int | None = None
        self.gpu_id: int | None = None
        self.migration_lease: int | None = None
        self._migration_cause = ""
        self.checkpoint = Checkpoint(session_id, language=language, task=task, journal_s=limits.journal_s)
        self.transcript = transcript
        self.audio_messages = 0
        self.text_updates = 0
        self.was_ready = False
        self.moves = 0
        self.attached = True
        self.error: SessionError | None = None
        self.outcome: str | None = None
        self.accounting: SessionAccounting | None = None
        self.poison = PoisonDetector()
        self._presenter = presenter
        self._deadlines = Deadlines(limits, now)
        self._interruption: Interruption | None = None
        self._drained_by: SessionError | None = None

    # --- the way to a slot ----------------------------------------------------------------------------------

    def start(self) -> list[Command]:
        """Greet the client and ask for a slot."""
        self._presenter.status("Connected", None)
        self._presenter.status("Allocating GPU...", None)
        return [RequestSlot()]

    def on_lease(self, lease: int, gpu_id: int, now: float) -> list[Command]:
        """Take a lease: open a stream there with everything that is known."""
        message = f"Moving to GPU {gpu_id}..." if self.was_ready else f"Loading models on GPU {gpu_id}..."
        self._presenter.status(message, gpu_id)
        return self._open_on(lease, gpu_id, now)

    def _open_on(self, lease: int, gpu_id: int, now: float) -> list[Command]:
        self._enter(State.OPENING, now)
        self.lease, self.gpu_id = lease, gpu_id
        return [SendToWorker(message) for message in self.checkpoint.opening_messages(lease)]

    def rejected(self, error: SessionError) -> list[Command]:
        """There is no slot: end with the error that says so."""
        return self._fail(error)

    def on_queued(self) -> None:
        """There is no slot now for a session that had one: it waits in line, and is told so."""
        self._presenter.status("Waiting for a free GPU...", None)

    def on_opened(self, load_ms: float, now: float) -> list[Command]:
        """The worker is ready for the session."""
        if self.state is not State.OPENING:
            return []
        self._enter(State.FINISHING if self._audio_ended else State.READY, now)
        first, self.was_ready = not self.was_ready, True
        departure, self._interruption = self._interruption, None
        self._presenter.status("Ready to transcribe", self.gpu_id)
        if first or departure is None:
            return [BecameReady(load_ms)]
        self.moves += 1
        if self.gpu_id is not None:
            self._presenter.migrated(self.gpu_id)
        return [Migrated(now - departure.at, departure.gpu_id, departure.cause)]

    def on_lost(
        self,
        reason: str,
        now: float,
        *,
        worker: str,
        cause: str = "worker_lost",
        last_seen: float | None = None,
        blame: bool = True,
        died: bool = True,
    ) -> list[Command]:
        """The lease is gone: ask for another, unless this session seems to be what kills its workers.

        Args:
            reason: a sentence's part for the client, should this be the end.
            now: the time.
            worker: the name of the one that had the lease.
            cause: the word under which the move is counted.
            last_seen: when that worker sent its last heartbeat, if not just now.
            blame: whether the session may have been what ended it.
            died: it is sure that it has ended, or that the session's stream has.
        """
        if self.state not in LEASED:
            return []
        if self.state is State.READY and now - self._deadlines.state_since >= POISON_RESET_S:
            self.poison.reset()
        self.lease = None
        self._note_interruption(cause, now if last_seen is None else last_seen)
        # A worker that had not opened the session, or had nothing left of it to decode, has not died of it.
        if blame and self.state in SETTLED and self.received > self.decoded:
            self.poison.note_loss(worker, self.received, died=died)
        if self.poison.proven:
            return self._fail(RecognitionError(f"Recognition failed {self.poison.losses} times: {reason}"))
        self._enter(State.WAITING, now)
        return [] if self.migration_lease is not None else [RequestSlot(avoid=worker)]

    def _note_interruption(self, cause: str, at: float) -> None:
        """Note since when the session has no worker; a second loss on the way prolongs the first."""
        first = self._interruption
        self._interruption = (
            Interruption(self.gpu_id, cause, at) if first is None else Interruption(first.gpu_id, cause, first.at)
        )

    # --- moving without a loss ------------------------------------------------------------------------------

    def migrate(self, lease: int, cause: str, now: float) -> list[Command]:
        """A slot elsewhere is held for the session: have it made ready, and go on here until it is."""
        self.migration_lease, self._migration_cause, self._deadlines.migration_since = lease, cause, now
        return [SendToWorker(m.Prepare(lease, self.id))]

    def on_prepared(self, gpu_id: int, now: float) -> list[Command]:
        """The slot elsewhere is ready: go on there from the last hypothesis."""
        if self.migration_lease is None:
            return []
        lease, self.migration_lease = self.migration_lease, None
        if self.state not in (State.READY, State.FINISHING, State.WAITING):
            return [ReleaseSlot(lease, close=True)]
        before = self.lease
        if before is not None:
            self._note_interruption(self._migration_cause, now)
        self._presenter.status(f"Moving to GPU {gpu_id}...", gpu_id)
        freed: list[Command] = [] if before is None else [ReleaseSlot(before, close=True)]
        return [*freed, *self._open_on(lease, gpu_id, now)]

    def on_migration_lost(self) -> list[Command]:
        """The slot elsewhere is gone; the session stays where it is, or looks for another."""
        self.migration_lease = None
        return [RequestSlot()] if self.state is State.WAITING else []

    # --- the client's side ----------------------------------------------------------------------------------

    def on_audio(self, data: bytes, now: float) -> list[Command]:
        """Take PCM of any length; a sample may be cut in two across messages."""
        self._deadlines.last_activity = now
        if self._audio_ended or self.state is State.ENDED:
            return []
        at, pcm = self.checkpoint.append(data)
        return [SendToWorker(m.Audio(self.lease, at, pcm))] if self.lease is not None and pcm else []

    def on_keepalive(self, now: float) -> None:
        """Note a sign of life that is no audio."""
        self._deadlines.last_activity = now

    def on_finalize(self, now: float) -> list[Command]:
        """Have everything said so far committed, then go on."""
        self._deadlines.last_activity = now
        at = self.checkpoint.finalize()
        return [] if self.lease is None else [SendToWorker(m.Finalize(self.lease, at))]

    def on_end_of_audio(self, now: float) -> list[Command]:
        """The client has said everything: flush, then tell it when it is done."""
        self._deadlines.last_activity = now
        if self._audio_ended or self.state is State.ENDED:
            return []
        at = self.checkpoint.end()
        if self.state is State.READY:
            self._enter(State.FINISHING, now)
        return [] if self.lease is None else [SendToWorker(m.Finish(self.lease, at))]

    def on_disconnected(self) -> list[Command]:
        """The client has left for good: give the slot back."""
        return self._end("client_left") if self.state is not State.ENDED else []

    def on_detached(self, now: float) -> list[Command]:
        """The client's network dropped: decode what is there, then wait for it without a slot."""
        self.attached, self._deadlines.detached_at = False, now
        self.checkpoint.drop_half_sample()
        return self._park_if_done(now)

    def on_resumed(self, now: float) -> list[Command]:
        """The client is back; it sends on from ``received``."""
        self.attached, self._deadlines.last_activity = True, now
        self.checkpoint.drop_half_sample()  # what a socket that was never seen to break had begun
        self._presenter.status("Connected", None)
        if self.state in (State.READY, State.FINISHING):
            self._presenter.status("Ready to transcribe", self.gpu_id)
        if self.state is not State.PARKED:
            return []
        self._presenter.status("Allocating GPU...", None)
        self._note_interruption("resume", now)
        self._enter(State.WAITING, now)
        return [RequestSlot()]

    def _park_if_done(self, now: float) -> list[Command]:
        """A session without a client gives its slot back once everything received is decoded."""
        if self.attached or self.state not in (State.READY, State.WAITING) or self._audio_ended:
            return []
        # The last part of a step's period is not decoded without more audio: it stays in the journal.
        recent = now - self._deadlines.detached_at < PARK_AFTER_S
        if self.state is State.READY and (recent or self.lag_s >= PARK_AFTER_S):
            return []
        lease, self.lease = self.lease, None
        self._enter(State.PARKED, now)
        return [ReleaseSlot(each, close=True) for each in (lease, self._take_migration_lease()) if each is not None]

    # --- the worker's side ----------------------------------------------------------------------------------

    def on_hypothesis(self, message: m.Hypothesis, now: float) -> list[Command]:
        """Take a step's result."""
        if not self.checkpoint.is_consistent(message):
            return self._fail(RecognitionError("The worker's positions contradict the session's"))
        self.poison.note_progress(message.decoded)
        self.checkpoint.advance(message)
        self.text_updates += self.transcript.apply(message)
        self._presenter.text_changed(self.received, self.lag_s)
        return self._park_if_done(now)

    def on_finished(self, message: m.Finished) -> list[Command]:
        """Everything is said: close the books and tell the client."""
        books = message.books
        if not self.checkpoint.is_complete(books):
            return self._fail(RecognitionError("The worker's books do not add up"))
        self.checkpoint.decoded = self.received
        self.transcript.close()
        if self._drained_by is not None:
            return self._fail(self._drained_by, books=books)
        ending = self._end("complete", books=books)
        return [*ending, *self.farewell()]

    def farewell(self) -> list[Command]:
        """Tell the client how the session ended: once at its end, again to a client that was away then."""
        if self.accounting is None:
            return []
        self._presenter.text_changed(self.received, self.lag_s)
        if self.error is not None:
            self._presenter.failed(self.error)
            return [CloseConnection(self.error.close_code, self.error.message)]
        self._presenter.completed(self.accounting)
        return [CloseConnection(1000, "", linger_s=5.0)]

    # --- time -----------------------------------------------------------------------------------------------

    def on_time(self, now: float) -> list[Command]:
        """Enforce the bounds of time."""
        self._deadlines.note_backpressure(now, full=self.backpressured)
        if self.state is State.ENDED:
            return []
        if self.grace_expired(now):
            return self._end("client_left")
        listening = self.attached and not self._audio_ended and not self.backpressured
        standing = SessionStatus(self.state, listening, self.was_ready, self.transcript.committed_until)
        error = self._deadlines.expired(standing, now)
        return self._park_if_done(now) if error is None else self._fail(error)

    def overdue_lease(self, now: float) -> int | None:
        """Return the lease for which a worker has been getting ready for too long, if there is one."""
        if self.state is State.OPENING and self._deadlines.opening_overdue(now):
            return self.lease
        return self.migration_lease if self._deadlines.migration_overdue(now) else None

    def grace_expired(self, now: float) -> bool:
        """Tell whether the client has been away for longer than the grace."""
        return not self.attached and self._deadlines.grace_expired(now)

    def drain(self, error: SessionError, now: float) -> list[Command]:
        """Flush, then end with ``error``: the server goes away."""
        self._drained_by = error
        return self.on_end_of_audio(now) if self.was_ready and self.lease is not None else self.stop(error)

    def stop(self, error: SessionError) -> list[Command]:
        """End the session from the server's side."""
        return self._fail(error) if self.state is not State.ENDED else []

    # --- what others may know -------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.checkpoint.received

    @property
    def decoded(self) -> int:
        """Return how many of them a worker has used."""
        return self.checkpoint.decoded

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return self.checkpoint.lag_s

    @property
    def _audio_ended(self) -> bool:
        return self.checkpoint.ended_at is not None

    @property
    def backpressured(self) -> bool:
        """Tell whether the client must be held back: the journal has met its bound."""
        return self.state is not State.ENDED and self.capacity_bytes == 0

    @property
    def capacity_bytes(self) -> int:
        """Return how much PCM may be taken now."""
        return self.checkpoint.capacity_bytes

    @property
    def between_utterances(self) -> bool:
        """Tell whether nothing is being said: a good moment to move."""
        return self.state is State.READY and not self.transcript.tail and self.lag_s < 1.0

    # --- endings --------------------------------------------------------------------------------------------

    def _enter(self, state: State, now: float) -> None:
        if state not in NEXT[self.state]:
            raise IllegalTransitionError(f"{self.id} cannot go from {self.state} to {state}")
        self.state = state
        self._deadlines.state_since = now

    def _fail(self, error: SessionError, *, books: m.AudioAccounting | None = None) -> list[Command]:
        self.error = error
        ending = self._end(error.code, books=books)
        return [*ending, *self.farewell()]

    def _end(self, reason: str, *, books: m.AudioAccounting | None = None) -> list[Command]:
        """Close the books; complete ones come from the worker, which has then freed the slot itself."""
        self.state, self.outcome = State.ENDED, reason
        self.accounting = self.checkpoint.close(books, reason)
        lease, self.lease = self.lease, None
        standby = self._take_migration_lease()
        commands: list[Command] = [] if lease is None else [ReleaseSlot(lease, close=books is None)]
        return commands if standby is None else [*commands, ReleaseSlot(standby, close=True)]

    def _take_migration_lease(self) -> int | None:
        standby, self.migration_lease = self.migration_lease, None
        return standby

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.checkpoint.check()
        self.transcript.check()
        assert (self.lease is not None) == (self.state in LEASED)
        assert self.migration_lease is None or self.state in LEASED or self.state is State.WAITING
        assert (self.accounting is not None) == (self.state is State.ENDED)
        if self.accounting is not None:
            self.accounting.check()

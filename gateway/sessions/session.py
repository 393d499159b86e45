"""One session: its state, its leases, its transcript. Events and ``now`` in, commands out.

A session knows neither sockets nor workers: it has a lease or it has none. Whenever it gets one, it opens a stream
with all that its `gateway.sessions.checkpoint` has, so the first lease and every later one take the same way.

This is one state machine and stays in one class: nearly every event depends on the state, on the lease, and on whether
the client is attached. What does not is in modules of its own: `gateway.sessions.checkpoint` has the audio,
`gateway.sessions.deadlines` the bounds of time, `gateway.sessions.poison` the suspicion that the audio kills workers.
"""

import dataclasses

from gateway.sessions.audio_input.container import ContainerDetector
from gateway.sessions.checkpoint import Checkpoint
from gateway.sessions.commands import (
    BecameReady,
    CloseConnection,
    Command,
    Hinted,
    Migrated,
    ReleaseSlot,
    RequestSlot,
    SendToWorker,
    SessionAccounting,
    SessionLimits,
)
from gateway.sessions.deadlines import Deadlines, SessionStatus
from gateway.sessions.poison import PoisonDetector
from gateway.sessions.presenter import Presenter, Status
from gateway.sessions.state import LEASED, NEXT, SETTLED, IllegalTransitionError, State
from gateway.sessions.transcript import Transcript
from shared import messages as m
from shared.errors import BadAudioError, RecognitionError, SessionError, SessionLimitError

POISON_RESET_S = 30.0
"""A stream that has been ready for this long clears its session of earlier losses."""

LINGER_S = 5.0
"""After the last message the client has this long to close the connection itself, before the gateway does."""

PARK_AFTER_S = 1.0
"""A session whose client is away keeps its slot for at least this long, and while this much audio is undecoded."""

NO_VOICE = (
    "There is loud audio but hardly any voice in it: is it 16 kHz mono signed 16-bit little-endian PCM? "
    "Music and noise sound like this too"
)
"""The hint about audio in which nobody seems to speak, most likely because it is in another format."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Migration:
    """A second slot, which is getting ready for the session since ``since``; ``cause`` is a word for the log."""

    lease: int
    cause: str
    since: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Interruption:
    """The session has had no worker since ``at``; ``gpu_id`` is where it was, ``cause`` a word for the log."""

    gpu_id: int | None
    cause: str
    at: float


class Session:
    """The state machine of one client's session, from its opening to its last word.

    Args:
        session_id: unique name.
        presenter: queues messages for the client.
        transcript: the text, shared with the presenter.
        language: Whisper code or None to detect it.
        task: ``transcribe`` or ``translate``.
        now: seconds of a monotonic clock, as in every call.
        limits: see `SessionLimits`.

    Attributes:
        gpu_id: where its lease is, or was last.
        audio_messages: how many messages with audio have come.
        text_updates: how many of the worker's results changed the text.
        was_ready: True once it has been ready for the first time.
        moves: how often it has gone on on another worker.
        attached: False while its client's connection is broken.
        error: the one that it ended with, if any.
        outcome: ``complete``, ``client_left`` or the error's code, once it has ended.
        accounting: what became of its audio, once it has ended.
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
        self._migration: _Migration | None = None
        self._interruption: _Interruption | None = None
        self._drained_by: SessionError | None = None
        self._container = ContainerDetector()
        self._hinted: set[str] = set()

    # --- getting a slot -------------------------------------------------------------------------------------

    def start(self) -> list[Command]:
        """Ask for the first slot, and show the client that it is being allocated."""
        self._presenter.status(Status.CONNECTED, None)
        self._presenter.status(Status.ALLOCATING, None)
        return [RequestSlot()]

    def on_lease(self, lease: int, gpu_id: int, now: float) -> list[Command]:
        """Open a stream on the worker of a new lease."""
        self._presenter.status(Status.MOVING if self.was_ready else Status.LOADING, gpu_id)
        return self._open_on(lease, gpu_id, now)

    def _open_on(self, lease: int, gpu_id: int, now: float) -> list[Command]:
        self._enter(State.OPENING, now)
        self.lease, self.gpu_id = lease, gpu_id
        return [SendToWorker(message) for message in self.checkpoint.opening_messages(lease)]

    def rejected(self, error: SessionError) -> list[Command]:
        """End: there is no slot, and the session may not wait for one."""
        return self._fail(error)

    def on_queued(self) -> None:
        """Show the client that its session, which has had a slot, waits for another."""
        self._presenter.status(Status.WAITING, None)

    def on_opened(self, load_ms: float, now: float) -> list[Command]:
        """Note that the worker has opened the stream; from now on it decodes."""
        if self.state is not State.OPENING:
            return []
        self._enter(State.FINISHING if self._audio_ended else State.READY, now)
        first, self.was_ready = not self.was_ready, True
        interruption, self._interruption = self._interruption, None
        self._presenter.status(Status.READY, self.gpu_id)
        if first or interruption is None:
            return [BecameReady(load_ms)]
        self.moves += 1
        if self.gpu_id is not None:
            self._presenter.migrated(self.gpu_id)
        return [Migrated(now - interruption.at, interruption.gpu_id, interruption.cause)]

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
        """Ask for another lease: this one is gone. End, if this session's audio seems to be what kills its workers.

        Args:
            reason: a sentence's part for the client, in case the session ends.
            now: the time.
            worker: the name of the one that had the lease.
            cause: the word under which the move is counted.
            last_seen: when that worker sent its last heartbeat, if not just now.
            blame: whether the session's audio may be the reason.
            died: False if the worker's process is still there and only silent.
        """
        if self.state not in LEASED:
            return []
        if self.state is State.READY and now - self._deadlines.state_since >= POISON_RESET_S:
            self.poison.reset()
        self.lease = None
        self._note_interruption(cause, now if last_seen is None else last_seen)
        # A worker that had not opened the stream yet, or had none of its audio left to decode, has not died of it.
        if blame and self.state in SETTLED and self.received > self.decoded:
            self.poison.note_loss(worker, self.received, died=died)
        if self.poison.proven:
            return self._fail(RecognitionError(f"Recognition failed {self.poison.losses} times: {reason}"))
        self._enter(State.WAITING, now)
        return [] if self.migration_lease is not None else [RequestSlot(avoid=worker)]

    def _note_interruption(self, cause: str, at: float) -> None:
        """Note since when the session has no worker; if that is noted already, only the cause is new."""
        if self._interruption is None:
            self._interruption = _Interruption(self.gpu_id, cause, at)
        else:
            self._interruption = dataclasses.replace(self._interruption, cause=cause)

    # --- migration: a second slot gets ready while the session goes on with the first ------------------------

    def migrate(self, lease: int, cause: str, now: float) -> list[Command]:
        """Have a second slot made ready, and go on with the first until it is."""
        self._migration = _Migration(lease, cause, now)
        return [SendToWorker(m.Prepare(lease, self.id))]

    def on_prepared(self, gpu_id: int, now: float) -> list[Command]:
        """Go on in the second slot, from the last hypothesis: it is ready."""
        migration, self._migration = self._migration, None
        if migration is None:
            return []
        if self.state not in (State.READY, State.FINISHING, State.WAITING):
            return [ReleaseSlot(migration.lease, close=True)]
        before = self.lease
        if before is not None:
            self._note_interruption(migration.cause, now)
        self._presenter.status(Status.MOVING, gpu_id)
        freed: list[Command] = [] if before is None else [ReleaseSlot(before, close=True)]
        return [*freed, *self._open_on(migration.lease, gpu_id, now)]

    def on_migration_lost(self) -> list[Command]:
        """Stay in the first slot, or ask for another if that is lost: the second one is gone."""
        self._migration = None
        return [RequestSlot()] if self.state is State.WAITING else []

    # --- the client's side ----------------------------------------------------------------------------------

    def on_audio(self, data: bytes, now: float) -> list[Command]:
        """Take PCM of any length; a sample may be cut in two by the end of a message."""
        self._deadlines.note_audio(now)
        if self._audio_ended or self.state is State.ENDED:
            return []
        found = self._container.look(data)
        if found is not None:
            return self._fail(BadAudioError(f"This looks like {found}; send raw PCM: s16le, 16 kHz, mono"))
        at, pcm = self.checkpoint.append(data)
        return [SendToWorker(m.Audio(self.lease, at, pcm))] if self.lease is not None and pcm else []

    def count_audio_message(self, size_bytes: int) -> None:
        """Count a message with audio, before `on_audio` gets it in parts."""
        self.audio_messages += 1
        self._deadlines.note_message(size_bytes / (2 * m.SAMPLE_RATE))

    def on_keepalive(self, now: float) -> None:
        """Note that the client is alive, though it sends no audio."""
        self._deadlines.last_activity = now

    def on_finalize(self, now: float) -> list[Command]:
        """Have the audio received so far committed, then go on."""
        self._deadlines.note_finalize(now)
        return self._finalize(paused=False)

    def _finalize(self, *, paused: bool) -> list[Command]:
        if self._audio_ended or self.state is State.ENDED:
            return []
        at = self.checkpoint.finalize(paused=paused)
        return [] if self.lease is None else [SendToWorker(m.Finalize(self.lease, at, paused))]

    def on_end_of_audio(self, now: float) -> list[Command]:
        """Have the rest decoded: no more audio will come."""
        self._deadlines.last_activity = now
        if self._audio_ended or self.state is State.ENDED:
            return []
        at = self.checkpoint.end()
        if self.state is State.READY:
            self._enter(State.FINISHING, now)
        return [] if self.lease is None else [SendToWorker(m.Finish(self.lease, at))]

    def hint(self, code: str, sentence: str) -> list[Command]:
        """Tell the client something that it should know, once a session for each code; the session goes on."""
        if code in self._hinted or self.state is State.ENDED:
            return []
        self._hinted.add(code)
        self._presenter.hint(code, sentence)
        return [Hinted(code, sentence)]

    def on_disconnected(self) -> list[Command]:
        """End: the client has left for good."""
        return self._end("client_left") if self.state is not State.ENDED else []

    def on_detached(self, now: float) -> list[Command]:
        """Decode what is there, then wait for the client without a slot: its network has dropped."""
        self.attached, self._deadlines.detached_at = False, now
        self.checkpoint.drop_half_sample()
        return self._park_if_done(now)

    def on_resumed(self, now: float) -> list[Command]:
        """Go on with a client that is back; it sends its audio from ``received`` on."""
        self.attached = True
        self._deadlines.note_resumed(now)
        self.checkpoint.drop_half_sample()  # the former connection may not have been seen to break
        self._presenter.status(Status.CONNECTED, None)
        if self.state in (State.READY, State.FINISHING):
            self._presenter.status(Status.READY, self.gpu_id)
        if self.state is not State.PARKED:
            return []
        self._presenter.status(Status.ALLOCATING, None)
        self._note_interruption("resume", now)
        self._enter(State.WAITING, now)
        return [RequestSlot()]

    def _park_if_done(self, now: float) -> list[Command]:
        """Give the slot back if the client is away and everything that it sent is decoded."""
        if self.attached or self.state not in (State.READY, State.WAITING) or self._audio_ended:
            return []
        # Without more audio the last part of a step's period is never decoded. It stays in the journal.
        recent = now - self._deadlines.detached_at < PARK_AFTER_S
        if self.state is State.READY and (recent or self.lag_s >= PARK_AFTER_S):
            return []
        self._enter(State.PARKED, now)
        return self._release_slots(close=True)

    # --- the worker's side ----------------------------------------------------------------------------------

    def on_hypothesis(self, message: m.Hypothesis, now: float) -> list[Command]:
        """Take the result of a recognition step."""
        if not self.checkpoint.is_consistent(message):
            return self._fail(RecognitionError("The worker's positions contradict the session's"))
        self.poison.note_progress(message.decoded)
        self.checkpoint.advance(message)
        self.text_updates += self.transcript.apply(message)
        self._presenter.text_changed(self.received, self.lag_s)
        hinted = self.hint("no_voice", NO_VOICE) if message.no_voice else []
        return [*hinted, *self._park_if_done(now)]

    def on_finished(self, message: m.Finished) -> list[Command]:
        """End: all audio is decoded and committed."""
        accounting = message.accounting
        if not self.checkpoint.is_complete(accounting):
            return self._fail(RecognitionError("The worker's books do not add up"))
        self.checkpoint.decoded = self.received
        self.transcript.close()
        if self._drained_by is not None:
            return self._fail(self._drained_by, accounting=accounting)
        ending = self._end("complete", accounting=accounting)
        return [*ending, *self.farewell()]

    def farewell(self) -> list[Command]:
        """Queue the client's last messages, at the end of the session, and again for a client that was away then."""
        if self.accounting is None:
            return []
        self._presenter.text_changed(self.received, self.lag_s)
        if self.error is not None:
            self._presenter.failed(self.error)
            return [CloseConnection(self.error.close_code, self.error.message)]
        self._presenter.completed(self.accounting)
        return [CloseConnection(1000, "", linger_s=LINGER_S)]

    # --- time -----------------------------------------------------------------------------------------------

    def on_time(self, now: float) -> list[Command]:
        """End if a bound of time is met; give the slot back if it is no longer needed."""
        self._deadlines.note_backpressure(now, full=self.backpressured, decoded=self.decoded)
        if self.state is State.ENDED:
            return []
        if self.grace_expired(now):
            return self._end("client_left")
        listening = self.attached and not self._audio_ended and not self.backpressured
        status = SessionStatus(
            self.state, listening, self.was_ready, self.transcript.committed_until, flushing=self._audio_ended
        )
        error = self._deadlines.expired(status, now)
        if isinstance(error, SessionLimitError) and self._can_flush:
            self._drained_by = error
            return self.on_end_of_audio(now)
        if error is not None:
            return self._fail(error)
        # A client that is away may come back in the middle of a word.
        pause_over = self.attached and self._deadlines.pause_over(now)
        return [*(self._finalize(paused=True) if pause_over else ()), *self._park_if_done(now)]

    @property
    def _can_flush(self) -> bool:
        """Return True if what was said can still become final before the session ends."""
        return self.was_ready and not self._audio_ended and self.state is not State.PARKED

    def overdue_lease(self, now: float) -> int | None:
        """Return the lease that has been getting ready for too long, if there is one."""
        deadlines, migration = self._deadlines, self._migration
        if self.state is State.OPENING and deadlines.opening_overdue(deadlines.state_since, now):
            return self.lease
        return migration.lease if migration is not None and deadlines.opening_overdue(migration.since, now) else None

    def grace_expired(self, now: float) -> bool:
        """Return True if the client has been away for too long to come back."""
        return not self.attached and self._deadlines.grace_expired(now)

    def drain(self, error: SessionError, now: float) -> list[Command]:
        """Flush, then end with ``error``: the gateway stops."""
        self._drained_by = error
        return self.on_end_of_audio(now) if self.was_ready and self.lease is not None else self.stop(error)

    def stop(self, error: SessionError) -> list[Command]:
        """End the session from the server's side."""
        return self._fail(error) if self.state is not State.ENDED else []

    # --- figures --------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Return the samples received so far."""
        return self.checkpoint.received

    @property
    def decoded(self) -> int:
        """Return how many of the received samples a worker has used."""
        return self.checkpoint.decoded

    @property
    def lag_s(self) -> float:
        """Return the audio received and not yet decoded, in seconds."""
        return self.checkpoint.lag_s

    @property
    def backpressured(self) -> bool:
        """Return True if the client must be held back: the journal is full."""
        return self.state is not State.ENDED and self.capacity_bytes == 0

    @property
    def capacity_bytes(self) -> int:
        """Return how much PCM the journal has room for."""
        return self.checkpoint.capacity_bytes

    @property
    def between_utterances(self) -> bool:
        """Return True if no speech is being decoded: a good moment to migrate."""
        return self.state is State.READY and not self.transcript.tail and self.lag_s < 1.0

    @property
    def migration_lease(self) -> int | None:
        """Return the lease on the second slot while a migration is under way."""
        return self._migration.lease if self._migration is not None else None

    @property
    def _audio_ended(self) -> bool:
        return self.checkpoint.ended_at is not None

    # --- transitions ----------------------------------------------------------------------------------------

    def _enter(self, state: State, now: float) -> None:
        if state not in NEXT[self.state]:
            raise IllegalTransitionError(f"{self.id} cannot go from {self.state} to {state}")
        self.state = state
        self._deadlines.state_since = now

    def _fail(self, error: SessionError, *, accounting: m.AudioAccounting | None = None) -> list[Command]:
        self.error = error
        if isinstance(error, SessionLimitError):
            error.received = self.received
        ending = self._end(error.code, accounting=accounting)
        return [*ending, *self.farewell()]

    def _end(self, outcome: str, *, accounting: m.AudioAccounting | None = None) -> list[Command]:
        """End and free all slots. A worker that has sent its final ``accounting`` has freed its slot already."""
        self.state, self.outcome = State.ENDED, outcome
        self.accounting = self.checkpoint.close(accounting, outcome)
        return self._release_slots(close=accounting is None)

    def _release_slots(self, *, close: bool) -> list[Command]:
        """Give back both slots; ``close`` says whether the worker of the first one needs a `Close`."""
        lease, migration = self.lease, self._migration
        self.lease = self._migration = None
        commands: list[Command] = [] if lease is None else [ReleaseSlot(lease, close=close)]
        return commands if migration is None else [*commands, ReleaseSlot(migration.lease, close=True)]

    def check(self) -> None:
        """Assert what must hold between two calls."""
        self.checkpoint.check()
        self.transcript.check()
        assert (self.lease is not None) == (self.state in LEASED)
        assert self.migration_lease is None or self.state in LEASED or self.state is State.WAITING
        assert (self.accounting is not None) == (self.state is State.ENDED)
        if self.accounting is not None:
            self.accounting.check()

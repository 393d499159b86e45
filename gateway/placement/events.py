"""What happens to sessions and workers, as values (core); `gateway.placement.observer` hands them to observers.

``connection`` is the session's id, ``now`` seconds of the gateway's clock, ``at`` Unix time.
"""

from dataclasses import dataclass

from gateway.sessions.arrival_times import ArrivalTimes
from gateway.sessions.commands import SessionAccounting
from shared.errors import SessionError
from shared.messages import Heartbeat, Hypothesis, Register


@dataclass(frozen=True, slots=True)
class ConnectionAccepted:
    """A WebSocket was accepted; it has no session yet."""

    connection: str
    accept_ms: float


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A client was turned away before it had a session."""

    connection: str
    error: SessionError


@dataclass(frozen=True, slots=True)
class ClientHinted:
    """A client was told something about its audio; its session goes on. ``code`` is stable, for programs."""

    connection: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class NoSlotFree:
    """A session has ended because every slot is taken."""

    connection: str


@dataclass(frozen=True, slots=True)
class SlotLeased:
    """A session got a slot; ``allocate_ms`` is what that took, for its first one alone."""

    connection: str
    gpu_id: int
    lease: int
    allocate_ms: float | None


@dataclass(frozen=True, slots=True)
class SlotReleased:
    """A lease was given back or revoked."""

    connection: str
    gpu_id: int
    lease: int


@dataclass(frozen=True, slots=True)
class SessionReady:
    """A session became ready for the first time.

    Attributes:
        accept_ms: from the request until the WebSocket was accepted; then ``allocate_ms`` until it had a slot, then
            ``load_ms`` until the worker was ready; ``total_ms`` is their sum.
        worker_ms: the worker's own figure for its part.
    """

    connection: str
    gpu_id: int
    accept_ms: float
    allocate_ms: float
    load_ms: float
    total_ms: float
    worker_ms: float
    now: float


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A session took a step's result; ``decoded_before`` is the position up to which it was decoded until then."""

    connection: str
    gpu_id: int
    hypothesis: Hypothesis
    decoded_before: int
    arrival_times: ArrivalTimes
    now: float


@dataclass(frozen=True, slots=True)
class SessionFlushed:
    """The last words of a session came, ``flush_s`` after its client had ended the audio."""

    connection: str
    gpu_id: int
    flush_s: float
    now: float


@dataclass(frozen=True, slots=True)
class MigrationStarted:
    """A session that is being served gets a second slot, to which it will be migrated."""

    connection: str
    reason: str
    from_gpu: int
    gpu_id: int


@dataclass(frozen=True, slots=True)
class SessionMigrated:
    """A session goes on on another worker after ``gap_s`` without one."""

    connection: str
    from_gpu: int | None
    gpu_id: int | None
    cause: str
    gap_s: float
    at: float


@dataclass(frozen=True, slots=True)
class StreamLost:
    """A live worker no longer serves a session: its stream failed, the worker had no slot, or has forgotten it."""

    connection: str
    worker: str
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """A session has ended, and its client cannot resume it any more."""

    connection: str
    outcome: str
    was_ready: bool
    duration_s: float
    audio_messages: int
    text_updates: int
    words: int
    migrations: int
    gpu_id: int | None
    close_code: int
    accounting: SessionAccounting
    at: float


@dataclass(frozen=True, slots=True)
class WorkerRegistered:
    """A worker's new boot is ready for sessions, or its old one again."""

    registration: Register


@dataclass(frozen=True, slots=True)
class WorkerRefused:
    """A worker may not register; ``reason`` is a sentence."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerDraining:
    """A worker takes no new session, and those that it has are migrated."""

    gpu_id: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker is gone, and so are its leases.

    Attributes:
        leases: each with its session's id.
        last_seen: when its last registration or heartbeat came.
        died: False if no session can have been the cause.
        silent: True if nothing but its silence says that it is gone.
    """

    worker: str
    gpu_id: int
    reason: str
    leases: tuple[tuple[int, str], ...]
    last_seen: float
    died: bool
    silent: bool
    identity: bytes


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A connected worker has sent a heartbeat."""

    worker: str
    boot: str
    gpu_id: int
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class LoopDelayed:
    """The gateway's event loop was late by ``lag_s``, most often by next to nothing."""

    lag_s: float


Event = (
    ConnectionAccepted
    | ConnectionRefused
    | ClientHinted
    | NoSlotFree
    | SlotLeased
    | SlotReleased
    | SessionReady
    | StepTaken
    | SessionFlushed
    | MigrationStarted
    | SessionMigrated
    | StreamLost
    | SessionClosed
    | WorkerRegistered
    | WorkerRefused
    | WorkerDraining
    | WorkerLost
    | HeartbeatReceived
    | LoopDelayed
)

"""The workers and sessions at one moment, from which all endpoints are answered (core)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.placement.worker_handle import WorkerHandle, WorkerState
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from shared.messages import SAMPLE_RATE, MemoryReport, Register

HEALTHY_BELOW = 70.0
CRITICAL_ABOVE = 90.0
"""Per cent of slots in use, as in the guide; between the two the health is ``degraded``."""

_UNKNOWN_MEMORY = MemoryReport(None, None, None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker; figures from its heartbeats are None unless it is connected.

    Attributes:
        registration: its last one; None if it has never registered.
        slots: sessions that it serves at once; 0 while it does not serve.
        leases: this gateway's, each with its session's id.
        foreign: slots that other gateways use there.
        memory: of its device, in bytes.
        lag_by_lease_s: the lag of each of our leases, by the worker's own positions.
        lag_s: the largest lag of all slots, foreign ones too.
        boots: how many have registered.
        weights: ``host``, ``loading`` or ``device``.
        step_median_s: median length of its recent steps; None before the first, too.
        step_running_s: age of the step in progress, 0 if none.
    """

    name: str
    gpu_id: int
    registration: Register | None
    state: WorkerState
    slots: int
    leases: Mapping[int, str]
    foreign: int
    memory: MemoryReport
    lag_by_lease_s: Mapping[int, float]
    lag_s: float | None
    boots: int
    boot: str | None
    weights: str | None
    step_median_s: float | None
    step_running_s: float | None

    @property
    def used(self) -> int:
        """Return the slots in use, by this gateway or another."""
        return len(self.leases) + self.foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """One session.

    Attributes:
        state: value of a `gateway.sessions.state.State`.
        lease: the one on the slot that it uses; None without a slot.
        age_s: seconds since its request.
        lag_s: by the gateway's own positions.
        received: samples that have arrived.
        attached: False while its client's connection is broken.
    """

    id: str
    state: str
    lease: int | None
    age_s: float
    lag_s: float
    received: int = 0
    attached: bool


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits in the gateway at one moment.

    Attributes:
        sessions: how many are in each state.
        waiting: sessions that wait for a slot.
        unsent: messages in clients' send queues.
        journal: samples in sessions' journals.
        held_back: sessions whose client must wait until the journal has room.
        malformed: messages on the workers' socket that could not be decoded, since the start.
    """

    sessions: Mapping[str, int]
    waiting: int
    unsent: int
    journal: int
    held_back: int
    malformed: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All workers, by GPU number and name, and all sessions."""

    workers: tuple[WorkerSnapshot, ...]
    sessions: tuple[SessionSnapshot, ...] = ()

    @property
    def serving(self) -> list[WorkerSnapshot]:
        return [worker for worker in self.workers if worker.state is WorkerState.SERVING]

    @property
    def total_slots(self) -> int:
        return sum(worker.slots for worker in self.workers)

    @property
    def used_slots(self) -> int:
        return sum(worker.used for worker in self.serving)

    @property
    def connections(self) -> int:
        """Return the number of this gateway's leases."""
        return sum(len(worker.leases) for worker in self.workers)

    @property
    def used_percent(self) -> float | None:
        """Return the slots in use in per cent; None if there are no slots."""
        return 100.0 * self.used_slots / self.total_slots if self.total_slots else None

    @property
    def health(self) -> str:
        """Return the guide's word for the load."""
        return health_status(self.used_percent)

    @property
    def model(self) -> str | None:
        """Return the names of the served models, separated by commas; None if no worker serves."""
        return ", ".join(sorted({each.registration.model for each in self.serving if each.registration})) or None

    def in_state(self, state: str) -> list[str]:
        return [session.id for session in self.sessions if session.state == state]


def take_snapshot(workers: WorkerRegistry, sessions: Iterable[SessionSnapshot] = ()) -> Snapshot:
    """Return a snapshot of all workers, with these sessions."""
    return Snapshot(tuple(worker_snapshot(worker) for worker in workers.all()), tuple(sessions))


def worker_snapshot(worker: WorkerHandle) -> WorkerSnapshot:
    heartbeat = worker.heartbeat
    slots = heartbeat.slots if heartbeat else ()
    lags = {slot.lease: (slot.received - slot.decoded) / SAMPLE_RATE for slot in slots if slot.ours}
    largest = max((slot.received - slot.decoded for slot in slots), default=0) / SAMPLE_RATE
    return WorkerSnapshot(
        name=worker.name,
        gpu_id=worker.gpu_id,
        registration=worker.registration,
        state=worker.state,
        slots=worker.slots,
        leases=dict(worker.leases),
        foreign=sum(not slot.ours for slot in slots),
        memory=heartbeat.memory if heartbeat else _UNKNOWN_MEMORY,
        lag_by_lease_s=lags,
        lag_s=round(largest, 2) if heartbeat else None,
        boots=worker.boots,
        boot=worker.boot or None,
        weights=heartbeat.weights if heartbeat else None,
        step_median_s=heartbeat.step_median_s if heartbeat and heartbeat.steps else None,
        step_running_s=heartbeat.step_running_s if heartbeat else None,
    )


def session_snapshot(client: ClientSession, now: float) -> SessionSnapshot:
    """Return the snapshot of one session; ``now`` is by the gateway's clock."""
    session = client.session
    return SessionSnapshot(
        id=session.id,
        state=session.state.value,
        lease=session.lease,
        age_s=now - client.requested_at,
        lag_s=session.lag_s,
        received=session.received,
        attached=session.attached,
    )


def health_status(used_percent: float | None) -> str:
    """Return the guide's word for a load in per cent; None means that there are no slots."""
    if used_percent is None or used_percent > CRITICAL_ABOVE:
        return "critical"
    return "healthy" if used_percent < HEALTHY_BELOW else "degraded"

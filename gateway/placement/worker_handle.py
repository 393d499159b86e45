"""One worker as the gateway knows it, and a lease on it (core)."""

import enum
from dataclasses import dataclass, field
from typing import Protocol

from shared import wire
from shared.messages import Heartbeat, Register

STUCK_S = 5.0
STUCK_MEDIANS = 20.0
"""A step that has run longer than both this time and this many median steps will not end by itself."""

LOADING_PATIENCE = 3.0
"""A worker that loads its weights may be silent this many times as long: on a crowded CPU that leaves little time for
heartbeats, and its sessions would only make another worker load."""

RETURN_PATIENCE = 2.0
RETURN_S = 30.0
"""A worker that was lost for its silence and came back alive may be silent this many times as long, during this time:
on an overloaded machine, moving its sessions again and again would only add to the load."""


class WorkerSocket(Protocol):
    """The socket to all workers."""

    malformed_messages: int

    def send(self, identity: bytes, message: wire.Message) -> bool:
        """Send at once; False if the worker cannot be reached or does not drain its queue."""

    async def receive(self) -> tuple[bytes, wire.Message]:
        """Wait for the next message, and return its sender's identity with it."""


class WorkerState(enum.Enum):
    EXPECTED = "expected"  # has not registered yet
    SERVING = "serving"
    DRAINING = "draining"  # takes no new lease
    LOST = "lost"  # silent, stuck or gone


@dataclass(slots=True)
class WorkerHandle:
    """One expected or registered worker; times are seconds of the gateway's clock.

    Attributes:
        identity: its address on the socket; each boot has another.
        boots: how many have registered here.
        last_seen: when its last registration or heartbeat came.
        leases: this gateway's leases on it, each with its session's id.
        full_until: until when it is not asked for a slot, because it has just answered that it has none.
        failures: streams that have failed in a row.
        silent: True if it was lost for its silence alone.
        load_overdue: True if it was lost while it loaded its weights.
        returned_at: when it last came back after it had been lost for its silence.
    """

    name: str
    gpu_id: int
    state: WorkerState = WorkerState.EXPECTED
    identity: bytes = b""
    boot: str = ""
    boots: int = 0
    registration: Register | None = None
    heartbeat: Heartbeat | None = None
    last_seen: float = 0.0
    leases: dict[int, str] = field(default_factory=dict)
    full_until: float = 0.0
    failures: int = 0
    silent: bool = False
    load_overdue: bool = False
    returned_at: float = float("-inf")

    @property
    def is_connected(self) -> bool:
        """Return True if it is registered and not lost."""
        return self.state in (WorkerState.SERVING, WorkerState.DRAINING)

    @property
    def is_loading(self) -> bool:
        """Return True if it is loading its weights, by its last heartbeat."""
        return self.heartbeat is not None and self.heartbeat.weights == "loading"

    @property
    def has_weights(self) -> bool:
        """Return True if its weights are on the device, by its last heartbeat."""
        return self.heartbeat is not None and self.heartbeat.weights == "device"

    @property
    def slots(self) -> int:
        """Return how many sessions it serves at once; 0 while it does not serve."""
        return self.registration.slots if self.registration and self.state is WorkerState.SERVING else 0

    def used(self) -> int:
        """Return the slots in use: ours, and those that other gateways hold by its last heartbeat."""
        foreign = sum(not slot.ours for slot in self.heartbeat.slots) if self.heartbeat else 0
        return len(self.leases) + foreign

    def patience_factor(self, now: float) -> float:
        """Return how many times longer than usual it may be silent before it counts as lost."""
        if self.is_loading:
            return LOADING_PATIENCE
        return RETURN_PATIENCE if now - self.returned_at < RETURN_S else 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to one slot of a worker."""

    id: int
    worker: str
    gpu_id: int
    identity: bytes


def is_stuck(heartbeat: Heartbeat) -> bool:
    """Return True if the step in progress takes far too long."""
    return heartbeat.step_running_s > max(STUCK_S, STUCK_MEDIANS * heartbeat.step_median_s)

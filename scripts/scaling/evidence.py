"""What is seen of a server and of the sessions on it, and what the server ought to do."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.tools.server_api import GpuStatus, Health, Worker

HEALTHY_BELOW_PERCENT = 70.0
LEAST_RISE_GB = 0.02
"""Less than this, at two decimals, is no memory that weights or sessions would take."""
RETURNED_SHARE = 0.5
"""An allocator keeps a part of what a process's first sessions took: on the CPU a fifth was seen."""
STAGES = ("idle", "single", "spread", "full", "crowded", "speaking", "released")
"""When a look is kept: before the first session, with one, with half of the slots in use, with all, after a session
too many, after all have spoken together, and when the memory had been returned or the wait for it was over."""


@dataclass(frozen=True, slots=True)
class Look:
    at_s: float
    status: GpuStatus
    health: Health

    @property
    def serving(self) -> tuple[Worker, ...]:
        return tuple(gpu for gpu in self.status.gpus if gpu.serving)

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(gpu.gpu_id for gpu in self.status.gpus if not gpu.serving)

    @property
    def loads(self) -> tuple[int, ...]:
        return tuple(gpu.active_connections for gpu in self.serving)

    @property
    def sessions(self) -> int:
        return sum(gpu.active_connections for gpu in self.status.gpus)

    @property
    def waiting(self) -> int:
        """The sessions without one, as far as the server tells."""
        return len(self.status.waiting_connection_ids or ()) + len(self.status.graced_connection_ids or ())

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(gpu.connection_ids for gpu in self.status.gpus if gpu.connection_ids))

    @property
    def share_percent(self) -> float | None:
        return self.health.capacity.utilization_percent if self.health.capacity else None

    @property
    def resting(self) -> bool:
        """Whether there is no session and no weights are on a device, as far as the server tells."""
        return not sum(self.loads) and all(gpu.weights in {None, "host"} for gpu in self.serving)

    def memory_gb(self, gpu_id: int) -> float | None:
        worker = self.status.worker(gpu_id)
        return worker.allocated_memory_gb if worker else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server ought to do, for each serving GPU: its number, its slots, and the sessions of others it has."""

    gpus: tuple[int, ...]
    slots: tuple[int, ...]
    base: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.slots)

    @property
    def room(self) -> int:
        return self.total - sum(self.base)

    @property
    def spread(self) -> int:
        """The number of sessions of ours with which half of the slots are in use: two of a GPU's four."""
        return min(self.room, max(1, self.total // 2 - sum(self.base)))

    def loads(self, count: int) -> tuple[int, ...]:
        """Return where ``count`` sessions lead: each goes to the least-loaded GPU, then to the lowest number."""
        loads = list(self.base)
        for _ in range(count):
            free = [index for index, load in enumerate(loads) if load < self.slots[index]]
            if not free:
                break
            loads[min(free, key=lambda index: (loads[index], index))] += 1
        return tuple(loads)

    def uneven(self, loads: Sequence[int]) -> int:
        """Return by how much a GPU has more sessions than another one that still has room."""
        open_loads = [load for load, slots in zip(loads, self.slots, strict=True) if load < slots]
        return max(loads) - min(open_loads) if open_loads else 0


def make_plan(look: Look) -> Plan:
    serving = look.serving
    plan = Plan(tuple(gpu.gpu_id for gpu in serving), tuple(gpu.slots for gpu in serving), look.loads)
    if not plan.total:
        raise ValueError("no GPU worker serves")
    if plan.room < 1:
        raise ValueError("no slot is free")
    return plan


class Phase(enum.Enum):
    SINGLE = "single"
    SPREAD = "spread"
    FILL = "fill"
    SURPLUS = "surplus"
    NEWCOMER = "newcomer"
    AGAIN = "again"


OPENED = (Phase.SINGLE, Phase.SPREAD, Phase.FILL)
"""The phases in which slots fill while no other session speaks."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as its client saw it; None is unknown, or did not come."""

    number: int
    phase: Phase
    session: str | None
    gpu_id: int | None  # where the server told it that it is
    loads: bool | None  # whether weights had to be loaded for it: none were on its GPU before
    connected_ms: float | None  # from opening the connection to the server's first word
    ready_ms: float | None  # from there too, to "Ready to transcribe"
    errors: tuple[str, ...]
    close_code: int | None
    ended: str | None  # None while it is there
    problem: str  # why it ended like this
    accounted: bool | None  # whether the server accounts for each sample that was sent
    audio_s: float
    dropped_s: float
    words: int

    @property
    def ready(self) -> bool:
        return self.ready_ms is not None


@dataclass(slots=True)
class Evidence:
    plan: Plan
    idle: Look
    release_s: float  # the longest wait for the memory
    floor_ms: float = 0.0  # the fastest plain HTTP request: what the way to the server costs
    looks: dict[str, Look] = field(default_factory=dict)  # by their `STAGES`
    opening: list[Look] = field(default_factory=list)  # every look taken with all present sessions ready
    records: dict[int, SessionRecord] = field(default_factory=dict)
    most_gb: dict[int, float] = field(default_factory=dict)  # the most memory each GPU had with a session on it
    server_setup_ms: float | None = None  # the server's own average since its start
    waited_s: float | None = None  # how long the memory was waited for
    over: bool = False  # whether all sessions have ended

    def look(self, stage: str) -> Look | None:
        return self.idle if stage == "idle" else self.looks.get(stage)

    def of(self, *phases: Phase) -> list[SessionRecord]:
        return [record for _, record in sorted(self.records.items()) if record.phase in phases]

    def note_memory(self, look: Look) -> None:
        for gpu in look.serving:
            if gpu.active_connections and gpu.allocated_memory_gb is not None:
                self.most_gb[gpu.gpu_id] = max(gpu.allocated_memory_gb, self.most_gb.get(gpu.gpu_id, 0.0))

    def returned(self, look: Look) -> bool | None:
        """Return True if every GPU has given back at least half of what it took; None where that cannot be known."""
        known = self.returned_shares(look)
        return min(known) >= RETURNED_SHARE if known and len(known) == len(self.plan.gpus) else None

    def returned_shares(self, look: Look) -> list[float]:
        shares = (self._returned_share(look, gpu_id) for gpu_id in self.plan.gpus)
        return [share for share in shares if share is not None]

    def _returned_share(self, look: Look, gpu_id: int) -> float | None:
        """Return how much of what a GPU took it has given back, 0 to 1; None if unknown or if it took nothing."""
        before, now, most = self.idle.memory_gb(gpu_id), look.memory_gb(gpu_id), self.most_gb.get(gpu_id)
        if before is None or now is None or most is None or most - before < LEAST_RISE_GB:
            return None
        return (most - now) / (most - before)

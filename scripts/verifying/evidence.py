"""Everything that was seen (core)."""

import enum
from dataclasses import dataclass, field

from .look import Look
from .plan import Plan


class Act(enum.Enum):
    """The part of the story that a visit belongs to."""

    SINGLE = "single"
    SPREAD = "spread"
    FILL = "fill"
    SURPLUS = "surplus"
    NEWCOMER = "newcomer"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Visit:
    """One session as its client saw it; None is unknown, or did not come.

    Attributes:
        gpu_id: where the server told it that it is.
        loads: whether weights had to be loaded for it: none were on its GPU before.
        connected_ms: from opening the connection to the server's first word.
        ready_ms: from there too, to "Ready to transcribe".
        ended: how it ended; None while it is there.
        problem: why it ended so.
        books: whether the server accounts for each sample that was sent; None where it keeps no books.
    """

    number: int
    act: Act
    session: str | None
    gpu_id: int | None
    loads: bool | None
    connected_ms: float | None
    ready_ms: float | None
    errors: tuple[str, ...]
    close_code: int | None
    ended: str | None
    problem: str
    books: bool | None
    audio_s: float
    dropped_s: float
    words: int

    @property
    def ready(self) -> bool:
        """Whether it had its slot."""
        return self.ready_ms is not None


@dataclass(slots=True)
class Evidence:
    """What was seen so far; each look is None until it was taken.

    Attributes:
        floor_ms: the fastest plain HTTP request: what the way to the server costs.
        idle: before the first visit.
        single: with one session.
        spread: with half of the slots in use.
        full: with all in use.
        crowded: after the surplus session was there.
        speaking: after all have spoken together for a while.
        released: when the memory had been returned, or the wait for it was over.
        opening: every look taken with all present sessions ready.
        most_gb: the most memory each GPU had with a session on it.
        server_setup_ms: the server's own average since its start.
        seconds: how long all spoke together.
        release_s: the longest wait for the memory.
        waited_s: how long the memory was waited for.
    """

    plan: Plan
    idle: Look
    seconds: float
    release_s: float
    floor_ms: float = 0.0
    single: Look | None = None
    spread: Look | None = None
    full: Look | None = None
    crowded: Look | None = None
    speaking: Look | None = None
    released: Look | None = None
    opening: list[Look] = field(default_factory=list)
    visits: dict[int, Visit] = field(default_factory=dict)
    most_gb: dict[int, float] = field(default_factory=dict)
    server_setup_ms: float | None = None
    waited_s: float | None = None
    over: bool = False

    def of(self, *acts: Act) -> list[Visit]:
        """Return the visits of some acts."""
        return [visit for _, visit in sorted(self.visits.items()) if visit.act in acts]

    def note_memory(self, look: Look) -> None:
        """Keep the most memory of each GPU that has a session."""
        for gpu in look.serving:
            if gpu.sessions and gpu.memory_gb is not None:
                self.most_gb[gpu.gpu_id] = max(gpu.memory_gb, self.most_gb.get(gpu.gpu_id, 0.0))

    def returned(self, look: Look) -> bool | None:
        """Tell whether every GPU has given back at least half of what it took; None where that cannot be known."""
        shares = [self.returned_share(look, gpu_id) for gpu_id in self.plan.gpus]
        if not shares or any(share is None for share in shares):
            return None
        return all(share is not None and share >= RETURNED_SHARE for share in shares)

    def returned_share(self, look: Look, gpu_id: int) -> float | None:
        """Return how much of what a GPU took it has given back, 0 to 1; None if unknown or if it took nothing."""
        before, now, most = self.idle.gpu(gpu_id), look.gpu(gpu_id), self.most_gb.get(gpu_id)
        if before is None or now is None or most is None or before.memory_gb is None or now.memory_gb is None:
            return None
        rise = most - before.memory_gb
        return None if rise < LEAST_RISE_GB else (most - now.memory_gb) / rise


LEAST_RISE_GB = 0.02
"""Less than this, at two decimals, is no memory that weights or sessions would take."""
RETURNED_SHARE = 0.5
"""An allocator keeps a part of what a process's first sessions took: on the CPU a fifth was seen."""

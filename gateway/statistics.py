"""What the gateway has counted: setups, endings, audio. Figures only; `gateway.monitor` words them."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.actions import Accounts
from shared.histogram import Histogram, Histograms

RECENT = 1000
RECENT_SHOWN = 50

SETUP_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
LATENCY_BOUNDS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
GAP_BOUNDS_S = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
LOOP_LAG_BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
STAGES = ("accept", "allocate", "load", "total")


@dataclass(frozen=True, slots=True)
class Setup:
    """How long a session took to become ready, from the arrival of its request, in milliseconds."""

    accept_ms: float
    allocate_ms: float
    load_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Ending:
    """One session's end."""

    outcome: str
    was_ready: bool
    duration_s: float
    chunks: int
    transcriptions: int
    accounts: Accounts


@dataclass(frozen=True, slots=True)
class Move:
    """One session's way to another worker; ``gap_ms`` is how long it was without one, ``at`` is Unix time."""

    connection: str
    from_gpu: int | None
    to_gpu: int | None
    reason: str
    gap_ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How one session ended, and when in Unix time."""

    connection: str
    outcome: str
    at: float


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits in the gateway at one moment.

    Attributes:
        sessions: how many are in each state.
        line: sessions that wait for a slot.
        unsent: messages that clients have not taken yet.
        journal: samples kept because they may still be needed.
        held_back: sessions whose client is slowed down.
        noise: messages on the workers' socket that were none, since the start.
    """

    sessions: Mapping[str, int]
    line: int
    unsent: int
    journal: int
    held_back: int
    noise: int


class Statistics:
    """Sums and histograms since the start, and the most recent setups for percentiles."""

    def __init__(self) -> None:
        self.setups = 0
        self.setup_ms_sum = 0.0
        self.slowest_setup_ms: float | None = None
        self.fastest_setup_ms: float | None = None
        self.recent: deque[Setup] = deque(maxlen=RECENT)
        self.completed = 0
        self.duration_s_sum = 0.0
        self.chunks_sum = 0
        self.transcriptions_sum = 0
        self.outcomes: Counter[str] = Counter()
        self.samples: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.recent_moves: deque[Move] = deque(maxlen=RECENT_SHOWN)
        self.recent_endings: deque[Ended] = deque(maxlen=RECENT_SHOWN)
        self.setup_s = Histograms(SETUP_BOUNDS_S, STAGES)
        self.text_lag_s = Histograms(LATENCY_BOUNDS_S)  # this and the next two by GPU
        self.commit_s = Histograms(LATENCY_BOUNDS_S)
        self.flush_s = Histograms(LATENCY_BOUNDS_S)
        self.gap_s = Histograms(GAP_BOUNDS_S)
        self.loop_lag_s = Histogram(LOOP_LAG_BOUNDS_S)

    def ready(self, setup: Setup) -> None:
        """Count a session that became ready for the first time."""
        self.setups += 1
        self.setup_ms_sum += setup.total_ms
        self.slowest_setup_ms = max(self.slowest_setup_ms or 0.0, setup.total_ms)
        fastest = self.fastest_setup_ms
        self.fastest_setup_ms = setup.total_ms if fastest is None else min(fastest, setup.total_ms)
        self.recent.append(setup)
        took_ms = (setup.accept_ms, setup.allocate_ms, setup.load_ms, setup.total_ms)
        for stage, stage_ms in zip(STAGES, took_ms, strict=True):
            self.setup_s.of(stage).observe(stage_ms / 1000)

    def ended(self, ending: Ending) -> None:
        """Count a session's end; it is a completed connection only if it had become ready."""
        self.outcomes[ending.outcome] += 1
        accounts = ending.accounts
        self.samples.update(received=accounts.received, transcribed=accounts.transcribed, silence=accounts.silence)
        if accounts.dropped:
            self.samples[f"dropped:{accounts.reason}"] += accounts.dropped
        if ending.was_ready:
            self.completed += 1
            self.duration_s_sum += ending.duration_s
            self.chunks_sum += ending.chunks
            self.transcriptions_sum += ending.transcriptions

    def average_setup_ms(self) -> float | None:
        """Return the mean setup time, None before the first."""
        return self.setup_ms_sum / self.setups if self.setups else None


def percentile(values: list[float], share: float) -> float | None:
    """Return the least value with ``share`` (0 to 1) of all at or below it, by nearest rank; None for no values."""
    if not values:
        return None
    rank = math.ceil(round(share * len(values), 6))
    return sorted(values)[max(rank, 1) - 1]

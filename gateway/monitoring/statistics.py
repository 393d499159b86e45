"""What the gateway has counted: setups, endings, audio. Figures only; `gateway.monitoring.reports` words them."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.monitoring.quantiles import Latencies
from gateway.sessions.commands import Accounts
from shared.histogram import Histogram, Histograms
from shared.messages import BATCH_BOUNDS, STEP_BOUNDS_S, Heartbeat, Tally

RECENT_SHOWN = 50

SETUP_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
LATENCY_BOUNDS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
GAP_BOUNDS_S = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
LOOP_LAG_BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
STAGES = ("accept", "allocate", "load", "total")
FIGURES = (*STAGES, "audio_to_text_lag", "first_word", "commit", "flush")
"""What has percentiles: a setup's stages, and how soon words come, as in the histograms of the same names."""


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


class Steps:
    """What workers' steps took and how many streams each decoded, by GPU: a worker's new life counts on."""

    def __init__(self) -> None:
        self.step_s = Histograms(STEP_BOUNDS_S)
        self.batches = Histograms(BATCH_BOUNDS)
        self._seen: dict[str, tuple[str, Tally, Tally]] = {}

    def note(self, worker: str, boot: str, gpu_id: int, beat: Heartbeat) -> None:
        """Count what a worker has done since its last heartbeat that was noted.

        Raises:
            ValueError: its counts have other bounds than ours, or they have fallen within one life.
        """
        seen_boot, step_s, batches = self._seen.get(worker, ("", None, None))
        same = seen_boot == boot
        self.step_s.of(str(gpu_id)).grow(step_s if same else None, beat.step_s)
        self.batches.of(str(gpu_id)).grow(batches if same else None, beat.batches)
        self._seen[worker] = (boot, beat.step_s, beat.batches)


class Statistics:
    """Sums, histograms and percentiles since the start, and percentiles of the last minutes."""

    def __init__(self) -> None:
        self.setups = 0
        self.setup_ms_sum = 0.0
        self.slowest_setup_ms: float | None = None
        self.fastest_setup_ms: float | None = None
        self.completed = 0
        self.duration_s_sum = 0.0
        self.chunks_sum = 0
        self.transcriptions_sum = 0
        self.outcomes: Counter[str] = Counter()
        self.samples: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.recent_moves: deque[Move] = deque(maxlen=RECENT_SHOWN)
        self.recent_endings: deque[Ended] = deque(maxlen=RECENT_SHOWN)
        self.setup_s = Histograms(SETUP_BOUNDS_S, STAGES)
        self.latencies = Latencies()
        self.text_lag_s = Histograms(LATENCY_BOUNDS_S)  # this and the next three by GPU
        self.first_word_s = Histograms(LATENCY_BOUNDS_S)
        self.commit_s = Histograms(LATENCY_BOUNDS_S)
        self.flush_s = Histograms(LATENCY_BOUNDS_S)
        self._words = {
            "audio_to_text_lag": self.text_lag_s,
            "first_word": self.first_word_s,
            "commit": self.commit_s,
            "flush": self.flush_s,
        }
        self.gap_s = Histograms(GAP_BOUNDS_S)
        self.loop_lag_s = Histogram(LOOP_LAG_BOUNDS_S)
        self.steps = Steps()

    def ready(self, setup: Setup, gpu_id: int, now: float) -> None:
        """Count a session that became ready for the first time."""
        self.setups += 1
        self.setup_ms_sum += setup.total_ms
        self.slowest_setup_ms = max(self.slowest_setup_ms or 0.0, setup.total_ms)
        fastest = self.fastest_setup_ms
        self.fastest_setup_ms = setup.total_ms if fastest is None else min(fastest, setup.total_ms)
        took_ms = (setup.accept_ms, setup.allocate_ms, setup.load_ms, setup.total_ms)
        for stage, stage_ms in zip(STAGES, took_ms, strict=True):
            self.setup_s.of(stage).observe(stage_ms / 1000)
            self.latencies.observe(stage, gpu_id, stage_ms / 1000, now)

    def heard(self, figure: str, gpu_id: int, value_s: float, now: float) -> None:
        """Count how soon words came: ``figure`` is one of `FIGURES` that is no stage."""
        self._words[figure].of(str(gpu_id)).observe(value_s)
        self.latencies.observe(figure, gpu_id, value_s, now)

    def ended(self, ending: Ending) -> None:
        """Count a session's end; it is a completed connection only if it had become ready."""
        self.outcomes[ending.outcome] += 1
        accounts = ending.accounts
        self.samples.update(
            received=accounts.received,
            transcribed=accounts.transcribed,
            silence=accounts.silence,
            dropped=accounts.dropped,
        )
        if accounts.dropped:
            self.dropped[accounts.reason or "unknown"] += accounts.dropped
        if ending.was_ready:
            self.completed += 1
            self.duration_s_sum += ending.duration_s
            self.chunks_sum += ending.chunks
            self.transcriptions_sum += ending.transcriptions

    def average_setup_ms(self) -> float | None:
        """Return the mean setup time, None before the first."""
        return self.setup_ms_sum / self.setups if self.setups else None

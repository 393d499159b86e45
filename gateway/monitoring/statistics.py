"""Counts events: setups, endings, audio, latencies (core)."""

import contextlib
from collections import Counter, deque
from dataclasses import dataclass

from gateway.monitoring.quantiles import LatencyQuantiles
from gateway.placement import events
from shared.histogram import Histogram, Histograms
from shared.messages import BATCH_BOUNDS, STEP_BOUNDS_S, Heartbeat, HistogramCounts

RECENT_SHOWN = 50
"""This many moves and endings are kept for ``/performance``."""

SETUP_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
LATENCY_BOUNDS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
GAP_BOUNDS_S = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
LOOP_LAG_BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
STAGES = ("accept", "allocate", "load", "total")
FIGURES = (*STAGES, "audio_to_text_lag", "first_word", "commit", "flush")
"""The figures with percentiles: the stages of a setup, and how soon words come."""


@dataclass(frozen=True, slots=True)
class Move:
    """One session's migration; ``gap_ms`` is how long it was without a worker, ``at`` is Unix time."""

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


class Steps:
    """Lengths and sizes of recognition steps by GPU, over all boots of the workers."""

    def __init__(self) -> None:
        self.step_s = Histograms(STEP_BOUNDS_S)
        self.batches = Histograms(BATCH_BOUNDS)
        self._seen: dict[str, tuple[str, HistogramCounts, HistogramCounts]] = {}

    def note(self, worker: str, boot: str, gpu_id: int, heartbeat: Heartbeat) -> None:
        """Count the steps since the last heartbeat of this worker that was noted.

        Raises:
            ValueError: its counts have other bounds than ours, or have fallen within one boot.
        """
        seen_boot, step_s, batches = self._seen.get(worker, ("", None, None))
        same_boot = seen_boot == boot
        self.step_s.of(str(gpu_id)).grow(step_s if same_boot else None, heartbeat.step_s)
        self.batches.of(str(gpu_id)).grow(batches if same_boot else None, heartbeat.batches)
        self._seen[worker] = (boot, heartbeat.step_s, heartbeat.batches)


class Statistics:
    """Sums, histograms and percentiles since the start, and percentiles of the last minutes."""

    def __init__(self) -> None:
        self.setups = 0
        self.setup_ms_sum = 0.0
        self.slowest_setup_ms: float | None = None
        self.fastest_setup_ms: float | None = None
        self.completed = 0
        self.duration_s_sum = 0.0
        self.audio_messages_sum = 0
        self.text_updates_sum = 0
        self.outcomes: Counter[str] = Counter()
        self.samples: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.recent_moves: deque[Move] = deque(maxlen=RECENT_SHOWN)
        self.recent_endings: deque[Ended] = deque(maxlen=RECENT_SHOWN)
        self.setup_s = Histograms(SETUP_BOUNDS_S, STAGES)
        self.latencies = LatencyQuantiles()
        self.text_lag_s = Histograms(LATENCY_BOUNDS_S)  # this and the next three by GPU
        self.first_word_s = Histograms(LATENCY_BOUNDS_S)
        self.commit_s = Histograms(LATENCY_BOUNDS_S)
        self.flush_s = Histograms(LATENCY_BOUNDS_S)
        self._word_latencies = {
            "audio_to_text_lag": self.text_lag_s,
            "first_word": self.first_word_s,
            "commit": self.commit_s,
            "flush": self.flush_s,
        }
        self.gap_s = Histograms(GAP_BOUNDS_S)
        self.loop_lag_s = Histogram(LOOP_LAG_BOUNDS_S)
        self.steps = Steps()
        self._with_text: set[str] = set()  # open sessions that have text

    def observe(self, event: events.Event) -> None:  # noqa: C901 - one case for each kind of event
        match event:
            case events.ConnectionRefused(_, error):
                self.outcomes[error.code] += 1
            case events.SessionReady():
                self._ready(event)
            case events.StepTaken():
                self._step_taken(event)
            case events.SessionFlushed(_, gpu_id, flush_s, now):
                self._latency("flush", gpu_id, flush_s, now)
            case events.MigrationStarted(_, reason):
                self.moves[reason] += 1
            case events.SessionMigrated(connection, from_gpu, gpu_or_none, cause, gap_s, at):
                self.gap_s.of(cause).observe(gap_s)
                gap_ms = round(gap_s * 1000, 1)
                self.recent_moves.append(Move(connection, from_gpu, gpu_or_none, cause, gap_ms, round(at, 3)))
            case events.StreamLost(_, _, cause):
                self.moves[cause] += 1
            case events.SessionClosed():
                self._closed(event)
            case events.WorkerLost():
                self.moves["worker_lost"] += len(event.leases)
            case events.HeartbeatReceived(worker, boot, gpu_id, heartbeat):
                with contextlib.suppress(ValueError):  # counts that make no sense are not added
                    self.steps.note(worker, boot, gpu_id, heartbeat)
            case events.LoopDelayed(lag_s):
                self.loop_lag_s.observe(lag_s)

    def _ready(self, event: events.SessionReady) -> None:
        stages_ms = (event.accept_ms, event.allocate_ms, event.load_ms, event.total_ms)
        took_ms = [round(stage_ms, 2) for stage_ms in stages_ms]
        total_ms = took_ms[-1]
        self.setups += 1
        self.setup_ms_sum += total_ms
        self.slowest_setup_ms = max(self.slowest_setup_ms or 0.0, total_ms)
        self.fastest_setup_ms = total_ms if self.fastest_setup_ms is None else min(self.fastest_setup_ms, total_ms)
        for stage, stage_ms in zip(STAGES, took_ms, strict=True):
            self.setup_s.of(stage).observe(stage_ms / 1000)
            self.latencies.observe(stage, event.gpu_id, stage_ms / 1000, event.now)

    def _step_taken(self, event: events.StepTaken) -> None:
        """Count how old the newest audio is that a step's text covers, and how old the words are that it commits."""
        step, gpu_id, now, age_s = event.hypothesis, event.gpu_id, event.now, event.arrival_times.age_s
        if step.decoded > event.decoded_before:
            self._latency("audio_to_text_lag", gpu_id, age_s(step.decoded, now), now)
        if (step.words or step.tail.strip()) and event.connection not in self._with_text:
            self._with_text.add(event.connection)
            began = step.words[0].start if step.words else step.resume.window_start
            self._latency("first_word", gpu_id, age_s(began + 1, now), now)
        for word in step.words:
            self._latency("commit", gpu_id, age_s(word.end, now), now)

    def _latency(self, figure: str, gpu_id: int, value_s: float | None, now: float) -> None:
        """Count one of `FIGURES` that is not a stage of a setup, if its value is known."""
        if value_s is not None:
            self._word_latencies[figure].of(str(gpu_id)).observe(value_s)
            self.latencies.observe(figure, gpu_id, value_s, now)

    def _closed(self, event: events.SessionClosed) -> None:
        """Count the end of a session; only one that has been ready is a completed connection."""
        self._with_text.discard(event.connection)
        self.recent_endings.append(Ended(event.connection, event.outcome, round(event.at, 3)))
        self.outcomes[event.outcome] += 1
        accounting = event.accounting
        self.samples.update(
            received=accounting.received,
            transcribed=accounting.transcribed,
            silence=accounting.silence,
            unclear=accounting.unclear,
            dropped=accounting.dropped,
        )
        if accounting.dropped:
            self.dropped[accounting.reason or "unknown"] += accounting.dropped
        if event.was_ready:
            self.completed += 1
            self.duration_s_sum += event.duration_s
            self.audio_messages_sum += event.audio_messages
            self.text_updates_sum += event.text_updates

    def average_setup_ms(self) -> float | None:
        """Return the mean setup time; None before the first setup."""
        return self.setup_ms_sum / self.setups if self.setups else None

"""``/metrics/prometheus``: the guide's metrics and ours, from a snapshot and the statistics at each scrape (core).

The guide's names stay as they are. Ours have base units, and labels with few values, such as GPU numbers, states and
outcomes; never a session.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.monitoring.reports import in_gb
from gateway.monitoring.snapshot import Queues, Snapshot, WorkerSnapshot
from gateway.monitoring.statistics import Statistics
from gateway.placement.worker_handle import WorkerState
from shared.errors import SessionError
from shared.histogram import Histogram, Histograms
from shared.messages import SAMPLE_RATE

OUTCOMES = ("complete", "client_left", *sorted(error.code for error in SessionError.__subclasses__()))
FATES = ("received", "transcribed", "silence", "unclear", "dropped")
REASONS = ("worker_lost", "stream_failed", "full", "forgotten", "not_ready", "drain", "balance")
GAPS = (*REASONS, "resume")
"""The label values that are there from the start with 0, so that the first event of a kind shows as an increase."""


class PrometheusView(Collector):
    """Yields everything that is measured as metric families; unknown values are left out.

    Args:
        take: takes a snapshot.
        statistics: counters and histograms.
        queues: returns what waits in the gateway; without it those metrics are left out.
    """

    def __init__(
        self, take: Callable[[], Snapshot], statistics: Statistics, queues: Callable[[], Queues] | None = None
    ) -> None:
        self._take_snapshot = take
        self._statistics = statistics
        self._queues = queues

    def collect(self) -> Iterable[Metric]:
        snapshot = self._take_snapshot()
        workers = snapshot.workers
        yield GaugeMetricFamily("whisperlivekit_gpu_total", "Total number of GPUs", value=len(snapshot.serving))
        yield from _gauges(workers)
        yield _slots(workers)
        yield _boots(workers)
        yield from self._totals(sum(session.received for session in snapshot.sessions))
        yield from self._histograms([str(worker.gpu_id) for worker in workers])
        if self._queues is not None:
            yield from _queues(self._queues())

    def _totals(self, open_received: int) -> Iterable[Metric]:
        statistics = self._statistics
        average = statistics.average_setup_ms()
        if average is not None:
            yield GaugeMetricFamily("whisperlivekit_setup_time_ms_avg", "Average setup time in ms", value=average)
        received = statistics.samples["received"] + open_received
        yield CounterMetricFamily(
            "whisperlivekit_audio_received_seconds",
            "Audio received, that of sessions in progress too",
            value=received / SAMPLE_RATE,
        )
        seconds = {fate: samples / SAMPLE_RATE for fate, samples in statistics.samples.items()}
        dropped = {reason: samples / SAMPLE_RATE for reason, samples in statistics.dropped.items()}
        yield _counter("sessions", "Ended sessions by outcome", "outcome", OUTCOMES, statistics.outcomes)
        yield _counter("audio_seconds", "Audio of ended sessions by fate", "fate", FATES, seconds)
        yield _counter("audio_dropped_seconds", "Dropped audio by its session's outcome", "reason", OUTCOMES, dropped)
        yield _counter("moves", "Sessions moved to another worker", "reason", REASONS, statistics.moves)

    def _histograms(self, gpus: list[str]) -> Iterable[Metric]:
        figures, steps = self._statistics, self._statistics.steps
        rows = {
            "setup_seconds": ("Time from a session's request to ready", "stage", figures.setup_s, ()),
            "first_word_latency_seconds": (
                "Time from the arrival of a session's first word until its first text",
                "gpu",
                figures.first_word_s,
                gpus,
            ),
            "audio_to_text_lag_seconds": (
                "Age of the newest audio that a step's text covers, since it arrived",
                "gpu",
                figures.text_lag_s,
                gpus,
            ),
            "commit_latency_seconds": (
                "Time from the arrival of a word's end until it was committed",
                "gpu",
                figures.commit_s,
                gpus,
            ),
            "flush_latency_seconds": ("Time from the end of audio to the last word", "gpu", figures.flush_s, gpus),
            "step_seconds": ("Length of a recognition step", "gpu", steps.step_s, gpus),
            "step_batch_streams": ("Streams that one step decoded together", "gpu", steps.batches, gpus),
            "move_gap_seconds": ("Time a moved session was without a worker", "reason", figures.gap_s, GAPS),
        }
        for name, (meaning, label, histograms, labels) in rows.items():
            yield _histogram(name, meaning, label, histograms, labels)
        lag = HistogramMetricFamily("whisperlivekit_gateway_loop_lag_seconds", "Delay of the gateway's event loop")
        _fill(lag, [], figures.loop_lag_s)
        yield lag
        counts = {gpu: float(histogram.count) for gpu, histogram in steps.step_s}
        yield _counter("steps", "Recognition steps, over all lives of a worker", "gpu", gpus, counts)


def _gauges(workers: Sequence[WorkerSnapshot]) -> Iterable[Metric]:
    rows: dict[str, tuple[str, Callable[[WorkerSnapshot], float | None]]] = {
        "connections_active": ("Active WebSocket connections", lambda w: len(w.leases)),
        "gpu_memory_allocated_gb": ("GPU memory allocated in GB", lambda w: in_gb(w.memory.allocated)),
        "gpu_memory_used_bytes": ("Memory in use, of the device or of a CPU worker", lambda w: w.memory.allocated),
        "gpu_memory_total_bytes": ("Memory of the device or the machine", lambda w: w.memory.total),
        "gpu_memory_available_bytes": ("Memory that could still be used", lambda w: w.memory.available),
        "gpu_utilization_ratio": ("Compute load of the device, 0 to 1", _load),
        "weights_on_device": ("Whether the model's weights are on the device", _weights),
        "slots": ("Sessions that the worker serves at once", lambda w: w.slots),
        "lag_seconds": ("Largest lag of a slot: audio received and not decoded", lambda w: w.lag_s),
        "step_median_seconds": ("Median length of the worker's last 100 steps", lambda w: w.step_median_s),
        "step_running_seconds": (
            "Age of the step in progress",
            lambda w: w.step_running_s,
        ),
        "worker_up": ("Whether the worker serves", lambda w: int(w.state is WorkerState.SERVING)),
    }
    for name, (meaning, read) in rows.items():
        family = GaugeMetricFamily(f"whisperlivekit_{name}", meaning, labels=["gpu"])
        for worker in workers:
            value = read(worker)
            if value is not None:
                family.add_metric([str(worker.gpu_id)], value)
        yield family


def _load(worker: WorkerSnapshot) -> float | None:
    percent = worker.memory.utilization_percent
    return None if percent is None else percent / 100


def _weights(worker: WorkerSnapshot) -> float | None:
    return None if worker.weights is None else float(worker.weights == "device")


def _slots(workers: Sequence[WorkerSnapshot]) -> Metric:
    family = GaugeMetricFamily("whisperlivekit_slots_in_state", "Slots by what they hold", labels=["gpu", "state"])
    for worker in workers:
        used, ours = worker.used, len(worker.leases)
        states = {"used": ours, "foreign": used - ours, "free": max(0, worker.slots - used)}
        for state, count in states.items():
            family.add_metric([str(worker.gpu_id), state], count)
    return family


def _boots(workers: Sequence[WorkerSnapshot]) -> Metric:
    boots = CounterMetricFamily("whisperlivekit_worker_boots", "Lives of the worker seen", labels=["gpu"])
    for worker in workers:
        boots.add_metric([str(worker.gpu_id)], worker.boots)
    return boots


def _counter(name: str, meaning: str, label: str, known: Sequence[str], counts: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"whisperlivekit_{name}", meaning, labels=[label])
    for value, count in (dict.fromkeys(known, 0.0) | dict(counts)).items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, meaning: str, label: str, histograms: Histograms, labels: Sequence[str]) -> Metric:
    family = HistogramMetricFamily(f"whisperlivekit_{name}", meaning, labels=[label])
    for value in labels:
        histograms.of(value)
    for value, histogram in histograms:
        _fill(family, [value], histogram)
    return family


def _fill(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    family.add_metric(labels, histogram.buckets(), histogram.sum)


def _queues(queues: Queues) -> Iterable[Metric]:
    sessions = GaugeMetricFamily("whisperlivekit_sessions_open", "Sessions by state", labels=["state"])
    for state, count in queues.sessions.items():
        if state != "ended":  # such a session only waits until its client has the last message
            sessions.add_metric([state], count)
    yield sessions
    gauges = {
        "waiting_line_sessions": ("Sessions that wait in line for a slot", queues.waiting),
        "outbox_messages": ("Messages that clients have not taken yet", queues.unsent),
        "journal_audio_seconds": ("Audio kept for sessions that may still need it", queues.journal / SAMPLE_RATE),
        "held_back_sessions": ("Sessions whose client is slowed down", queues.held_back),
    }
    for name, (meaning, value) in gauges.items():
        yield GaugeMetricFamily(f"whisperlivekit_{name}", meaning, value=value)
    yield CounterMetricFamily(
        "whisperlivekit_worker_noise", "Messages from workers that were none", value=queues.malformed
    )

from dataclasses import dataclass, field

import pytest

from gpu_worker.recognition.step import DecodeCall, Step
from gpu_worker.serving.pacing import StepPacer
from gpu_worker.serving.slots import SlotTable
from shared.messages import BATCH_BOUNDS, STEP_BOUNDS_S, Open
from tests.gpu_worker.recognition.driver import POLICY
from tests.scripted_recognizer import ScriptedRecognizer, say


def fed(pacer: StepPacer, took_s: float, steps: int, *, windows: int = 1, speaking: int = 1) -> float:
    for _ in range(steps):
        pacer.stepped(took_s, windows, speaking)
    return pacer.period_s


def test_the_period_stretches_with_load_and_shrinks_again():
    """From 0.5 s to 2 s while rounds take long, and back when they do not."""
    pacer = StepPacer(0.5, 2.0)
    assert pacer.period_s == 0.5
    assert fed(pacer, 3.0, 20) == 2.0
    assert fed(pacer, 0.05, 20) == 0.5


def test_between_the_bounds_it_follows_a_round_with_headroom():
    """A round that takes 0.8 s is worth a period of 1 s."""
    assert fed(StepPacer(0.5, 2.0), 0.8, 50) == pytest.approx(1.0, abs=0.01)


def test_a_round_is_a_step_for_each_stream():
    """A step over one of four streams is a quarter of a round."""
    assert fed(StepPacer(0.5, 2.0), 0.2, 50, windows=1, speaking=4) == pytest.approx(1.0, abs=0.01)
    assert fed(StepPacer(0.5, 2.0), 0.2, 50, windows=4, speaking=4) == 0.5


def test_one_slow_step_is_no_load():
    """A single outlier moves the period a little, not to its bound."""
    pacer = StepPacer(0.5, 2.0)
    fed(pacer, 0.1, 20)
    assert fed(pacer, 2.0, 1) < 1.0


def test_the_median_is_of_recent_steps():
    """Before the first step it is 0; afterwards a stuck step is measured against it."""
    pacer = StepPacer(0.5, 2.0)
    assert pacer.median_step_s == 0.0
    for took_s in (0.1, 0.3, 0.2):
        pacer.stepped(took_s, 1, 1)
    assert (pacer.median_step_s, pacer.steps) == (0.2, 3)


def test_every_step_is_counted_by_its_length_and_its_streams():
    """Heartbeats report the counts since the start, of old steps too."""
    pacer = StepPacer(0.5, 2.0)
    fed(pacer, 0.15, 150, windows=3)
    fed(pacer, 99.0, 2, windows=1)
    times, batches = pacer.step_s.tally(), pacer.batches.tally()
    assert times.counts[STEP_BOUNDS_S.index(0.2)] == 150
    assert (times.counts[-1], sum(times.counts), times.sum) == (2, 152, pytest.approx(220.5))
    assert batches.counts[BATCH_BOUNDS.index(3)] == 150
    assert (batches.counts[BATCH_BOUNDS.index(1)], batches.sum) == (2, 452)


MESSAGE = 1_600
STREAMS = 6
BATCH = 3


@dataclass
class Worker:
    """Streams that all speak, stepped as a worker does it, in a time that is counted and not waited for."""

    pacer: StepPacer = field(default_factory=lambda: StepPacer(0.5, 2.0))
    model: ScriptedRecognizer = field(default_factory=ScriptedRecognizer)
    table: SlotTable = field(default_factory=lambda: SlotTable(STREAMS, POLICY))
    now: int = 0
    periods: list[float] = field(default_factory=list)
    spreads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.speech = say(["river", "stone", "well,", "cloud", "sentence."] * 25).pcm
        for lease in range(STREAMS):
            self.table.get(self.table.open(0, Open(lease, f"s{lease}", "en", "transcribe", 0, None), 0.0)).opened = True

    def run(self, seconds: float, window_s: float) -> None:
        """Run for some seconds; each window in a step takes ``window_s``."""
        until = self.now + round(seconds * 16_000)
        while self.now < until:
            self.receive()
            if not self.step(window_s):
                self.now += MESSAGE // 2

    def step(self, window_s: float) -> bool:
        """Do one step; return False if no window was due."""
        decoded = False
        step = Step(self.table.streams, period=int(self.pacer.period_s * 16_000), most=BATCH)
        while call := step.next_call():
            answers = call.run(self.model)
            decoded = isinstance(call, DecodeCall)
            took_s = window_s * len(call.requests) if decoded else 0.0
            self.now += round(took_s * 16_000)
            self.receive()
            for key, answer in zip(call.keys, answers, strict=True):
                step.deliver(key, answer)
            if decoded:
                self.pacer.stepped(took_s, len(call.requests), STREAMS)
                self.periods.append(self.pacer.period_s)
                lags = [stream.lag() for stream in self.table.streams()]
                self.spreads.append(max(lags) - min(lags))
            self.table.check()
        return decoded

    def receive(self) -> None:
        """Bring what was said until now, in messages; each stream's come at a time of its own."""
        for stream in self.table.streams():
            delay = (stream.lease * 7 % STREAMS) * MESSAGE // STREAMS
            arrived = max(0, self.now - delay) // MESSAGE * MESSAGE
            stream.receive(stream.received, self.speech[stream.received : max(arrived, stream.received)].tobytes())


def test_the_period_follows_the_load_and_no_stream_falls_behind():
    """With steps of scripted length it goes from 0.5 to 2 s and back; lags stay within a period of each other."""
    worker = Worker()
    ends = []
    for window_s in (0.04, 0.3, 0.04):
        worker.periods.clear()
        worker.spreads.clear()
        worker.run(15.0, window_s)
        ends.append(worker.periods[-1])
        assert len(worker.spreads) > 12
        for spread, period in zip(worker.spreads[-8:], worker.periods[-8:], strict=True):
            assert spread <= period * 16_000
    assert ends == [0.5, 2.0, 0.5]


def test_too_much_load_is_shared():
    """When rounds take longer than the longest period, the stream that lags most is next: each lags a round, none more."""
    worker = Worker()
    worker.run(30.0, 0.7)
    assert worker.periods[-1] == 2.0
    round_samples = 16_000 * 0.7 * STREAMS
    assert 2.0 * 16_000 < max(worker.spreads[-4:]) <= round_samples

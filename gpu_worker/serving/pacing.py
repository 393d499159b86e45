"""Choose how often a session is decoded: as often as the measured steps allow."""

from collections import deque
from statistics import median

from shared.histogram import Histogram
from shared.messages import BATCH_BOUNDS, STEP_BOUNDS_S

HEADROOM = 1.25
"""A period is this many times a round of steps, which leaves time for VAD, messages and other processes."""

SMOOTHING = 0.3
"""Weight of the newest round in the average that the period follows."""


class StepPacer:
    """Stretches the period of recognition steps when rounds take long, and shrinks it when they do not.

    Args:
        shortest_s: the period of a worker that has time to spare.
        longest_s: the longest period.
    """

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self.steps = 0
        self.step_s = Histogram(STEP_BOUNDS_S)
        self.batches = Histogram(BATCH_BOUNDS)
        self._shortest_s = shortest_s
        self._longest_s = max(shortest_s, longest_s)
        self._round_s = 0.0
        self._recent: deque[float] = deque(maxlen=100)

    def stepped(self, took_s: float, windows: int, speaking: int) -> None:
        """Record a step over ``windows`` streams that took ``took_s`` while ``speaking`` streams were served.

        A round is a step for each of them: with more streams than windows it takes several steps.
        """
        self.steps += 1
        self._recent.append(took_s)
        self.step_s.observe(took_s)
        self.batches.observe(windows)
        round_s = took_s * max(1.0, speaking / max(1, windows))
        self._round_s += SMOOTHING * (round_s - self._round_s)

    @property
    def period_s(self) -> float:
        """Return how much new audio, in seconds, makes a session due for its next decode."""
        return min(self._longest_s, max(self._shortest_s, HEADROOM * self._round_s))

    @property
    def median_step_s(self) -> float:
        """Return the median length of recent steps, 0 before the first."""
        return median(self._recent) if self._recent else 0.0

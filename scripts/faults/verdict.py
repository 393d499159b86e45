"""Everything that was seen, and whether the goals are met (core)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scripts.faults.comparison import NOTHING, Difference, compare
from scripts.faults.schedule import Kind
from scripts.tools.server_api import Move

WER_POINTS = 0.5
KILL_GAP_MS = 3000.0
DRAIN_GAP_MS = 1500.0
ROUNDING_S = 0.0021
"""Times travel in milliseconds, rounded: two of them may be so far off."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One session of one run.

    Attributes:
        said: the words of the script, normalised.
        words: the words of the transcript, normalised.
        times: first and last second of each committed word, as the server tells them.
        problem: why it did not end well, if it did not.
    """

    said: tuple[str, ...]
    words: tuple[str, ...]
    times: tuple[tuple[float, float], ...]
    sent: int
    received: int
    transcribed: int
    silence: int
    dropped: int
    moves: int
    reconnects: int
    violations: tuple[str, ...]
    problem: str | None

    @property
    def unaccounted(self) -> int:
        """Return the samples that the books do not explain, those never received included."""
        lost = max(0, self.sent - self.received)
        return lost + abs(self.received - self.transcribed - self.silence)

    @property
    def disordered(self) -> int:
        """Return how many committed words start before their predecessor's end."""
        return sum(after[0] < before[1] - ROUNDING_S for before, after in pairwise(self.times))


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was done, at a Unix time, to a GPU's worker or (for a cut) to a session's connection."""

    kind: Kind
    victim: int
    at: float


@dataclass(frozen=True, slots=True)
class Gaps:
    """How long sessions were without a worker, in milliseconds, by what had happened to it."""

    kill: tuple[float, ...] = ()
    hang: tuple[float, ...] = ()
    drain: tuple[float, ...] = ()
    other: tuple[float, ...] = ()


def gaps(moves: Sequence[Move], faults: Sequence[Done]) -> Gaps:
    """Sort the moves by their causes: a lost worker's is what was last done to it."""
    found: dict[str, list[float]] = {"kill": [], "hang": [], "drain": [], "other": []}
    for move in moves:
        cause = "drain" if move.reason == "drain" else "other"
        if move.reason == "worker_lost":
            before = [fault for fault in faults if fault.victim == move.from_gpu and fault.at <= move.at]
            worker_faults = [fault for fault in before if fault.kind is not Kind.CUT]
            cause = worker_faults[-1].kind.value if worker_faults else "other"
        found[cause].append(move.gap_ms)
    return Gaps(**{name: tuple(sorted(values)) for name, values in found.items()})


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile by nearest rank; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[-(-95 * len(ordered) // 100) - 1]


def p50(values: Sequence[float]) -> float | None:
    """Return the median by nearest rank; None for no values."""
    return sorted(values)[(len(values) - 1) // 2] if values else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Two undisturbed runs, the disturbed one, and what was done in it."""

    first: tuple[Heard, ...]
    second: tuple[Heard, ...]
    disturbed: tuple[Heard, ...]
    faults: tuple[Done, ...]
    gaps: Gaps
    skipped: int

    @property
    def noise(self) -> Difference:
        """Return how the two undisturbed runs differ."""
        return _sum([compare(a.words, b.words) for a, b in zip(self.first, self.second, strict=True)])

    @property
    def damage(self) -> Difference:
        """Return how the disturbed run differs from the undisturbed one that is nearer, session by session."""
        nearer = [
            min((compare(a.words, c.words), compare(b.words, c.words)), key=lambda difference: difference.errors)
            for a, b, c in zip(self.first, self.second, self.disturbed, strict=True)
        ]
        return _sum(nearer)

    @property
    def undisturbed_errors(self) -> Difference:
        """Return how both undisturbed runs together differ from what was said."""
        return _sum([compare(each.said, each.words) for each in (*self.first, *self.second)])

    @property
    def disturbed_errors(self) -> Difference:
        """Return how the disturbed run differs from what was said."""
        return _sum([compare(each.said, each.words) for each in self.disturbed])

    @property
    def undisturbed_wer(self) -> float:
        """Return the word error rate of both undisturbed runs, in percent."""
        return self.undisturbed_errors.rate_percent

    @property
    def disturbed_wer(self) -> float:
        """Return the word error rate of the disturbed run, in percent."""
        return self.disturbed_errors.rate_percent

    def goals(self) -> list[tuple[str, bool]]:
        """Return each goal with its figure, and whether it is met."""
        everyone = (*self.first, *self.second, *self.disturbed)
        ended = [each for each in everyone if each.problem]
        unaccounted = sum(each.unaccounted for each in everyone)
        disordered = sum(each.disordered for each in everyone)
        violations = sum(len(each.violations) for each in everyone)
        kill, drain = p95(self.gaps.kill), p95(self.gaps.drain)
        worse = self.disturbed_wer - self.undisturbed_wer
        return [
            (f"no session ended by a fault: {len(ended)}", not ended),
            (f"no sample unaccounted for: {unaccounted}", unaccounted == 0),
            (f"no committed word before its predecessor's end: {disordered}", disordered == 0),
            (f"no promise of the protocol broken: {violations}", violations == 0),
            (f"word error rate at most {WER_POINTS} points above undisturbed: {worse:+.2f}", worse <= WER_POINTS),
            (
                f"gap after a kill, p95 at most {KILL_GAP_MS:.0f} ms: {_ms(kill)}",
                kill is None or kill <= KILL_GAP_MS,
            ),
            (
                f"gap in a drain, p95 at most {DRAIN_GAP_MS:.0f} ms: {_ms(drain)}",
                drain is None or drain <= DRAIN_GAP_MS,
            ),
        ]


def _ms(value: float | None) -> str:
    return "none seen" if value is None else f"{value:.0f} ms"


def _sum(differences: Sequence[Difference]) -> Difference:
    return sum(differences, start=NOTHING)

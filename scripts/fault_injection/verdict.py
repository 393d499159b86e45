"""Everything that was seen, and whether the goals are met (core)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise

from rapidfuzz.distance import Levenshtein
from whisper_live_client.events import Accounting

from scripts.tools.driver import SessionResult
from scripts.tools.scoring import Normalise
from scripts.tools.server_api import Move

from .schedule import Kind

WER_POINTS = 0.5
KILL_GAP_MS = 3000.0
DRAIN_GAP_MS = 1500.0
ROUNDING_S = 0.0021
"""Times travel in milliseconds, rounded: two of them may be so far off."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    said: tuple[str, ...]
    words: tuple[str, ...]
    times: tuple[tuple[float, float], ...]
    sent: int
    books: Accounting
    moves: int
    reconnects: int
    violations: tuple[str, ...]
    problem: str | None

    @property
    def unaccounted(self) -> int:
        """The samples that the books do not explain, those never received included."""
        lost = max(0, self.sent - self.books.received)
        return lost + abs(self.books.received - self.books.transcribed - self.books.silence - self.books.unclear)

    @property
    def disordered(self) -> int:
        """How many committed words start before their predecessor's end."""
        return sum(after[0] < before[1] - ROUNDING_S for before, after in pairwise(self.times))


def record(result: SessionResult, normalise: Normalise) -> SessionRecord:
    stream, transcript = result.stream, result.transcript
    ended_well = transcript.complete and transcript.accounting is not None and not transcript.errors
    return SessionRecord(
        said=tuple(normalise(" ".join(stream.spoken().texts))),
        words=tuple(normalise(transcript.committed)),
        times=tuple(
            (word.start_s, word.end_s)
            for word in transcript.words
            if word.start_s is not None and word.end_s is not None
        ),
        sent=stream.samples,
        books=transcript.accounting or Accounting(0, 0, 0, 0),
        moves=len(transcript.moves),
        reconnects=transcript.disconnects,
        violations=tuple(transcript.violations),
        problem=None if ended_well else result.outcome.sentence or "ended without a last word",
    )


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected, at a Unix time, into a GPU's worker or (for a cut) a session's connection."""

    kind: Kind
    victim: int
    at: float


Gaps = Mapping[str, Sequence[float]]
"""How long sessions were without a worker, in milliseconds, by what had happened to it."""


def sort_gaps(moves: Sequence[Move], faults: Sequence[Injected]) -> Gaps:
    """Sort the moves by their causes: a lost worker's is what was last done to it."""
    found: dict[str, list[float]] = {"kill": [], "hang": [], "drain": [], "other": []}
    for move in moves:
        cause = "drain" if move.reason == "drain" else "other"
        if move.reason == "worker_lost":
            before = [
                fault
                for fault in faults
                if fault.kind is not Kind.CUT and fault.victim == move.from_gpu and fault.at <= move.at
            ]
            cause = before[-1].kind.value if before else "other"
        found[cause].append(move.gap_ms)
    return {name: sorted(values) for name, values in found.items()}


def nearest_rank(values: Sequence[float], percent: int) -> float | None:
    """Return a percentile that is one of the values; None of nothing."""
    return sorted(values)[-(-percent * len(values) // 100) - 1] if values else None


@dataclass(frozen=True, slots=True)
class Difference:
    """How a text differs from another: words missing, words too many (of them said twice), words changed."""

    words: int
    lost: int
    added: int
    doubled: int
    changed: int

    @property
    def errors(self) -> int:
        return self.lost + self.added + self.changed

    @property
    def rate_percent(self) -> float:
        return 100.0 * self.errors / self.words if self.words else 0.0


def compare(reference: Sequence[str], heard: Sequence[str]) -> Difference:
    counts = {"delete": 0, "insert": 0, "replace": 0, "equal": 0}
    doubled = 0
    for each in Levenshtein.opcodes(reference, heard):
        length = max(each.src_end - each.src_start, each.dest_end - each.dest_start)
        counts[each.tag] += length
        if each.tag == "insert" and _repeats(heard, each.dest_start, each.dest_end):
            doubled += length
    return Difference(len(reference), counts["delete"], counts["insert"], doubled, counts["replace"])


def total(differences: Iterable[Difference]) -> Difference:
    return Difference(*(sum(column) for column in zip(*map(astuple, differences), strict=True)))


def _repeats(heard: Sequence[str], first: int, end: int) -> bool:
    """Return True if a run of words says again what stands right before or right after it."""
    length = end - first
    return heard[first:end] in (heard[max(0, first - length) : first], heard[end : end + length])


@dataclass(frozen=True, slots=True)
class Verdict:
    first: tuple[SessionRecord, ...]
    second: tuple[SessionRecord, ...]
    disturbed: tuple[SessionRecord, ...]
    faults: tuple[Injected, ...]
    gaps: Gaps
    skipped: int

    @property
    def noise(self) -> Difference:
        return total(compare(a.words, b.words) for a, b in zip(self.first, self.second, strict=True))

    @property
    def damage(self) -> Difference:
        """How the disturbed run differs from the undisturbed one that is nearer, session by session."""
        return total(
            min((compare(a.words, c.words), compare(b.words, c.words)), key=lambda difference: difference.errors)
            for a, b, c in zip(self.first, self.second, self.disturbed, strict=True)
        )

    @property
    def undisturbed_errors(self) -> Difference:
        """How both undisturbed runs together differ from what was said."""
        return total(compare(each.said, each.words) for each in (*self.first, *self.second))

    @property
    def disturbed_errors(self) -> Difference:
        return total(compare(each.said, each.words) for each in self.disturbed)

    def goals(self) -> list[tuple[str, bool]]:
        sessions = (*self.first, *self.second, *self.disturbed)
        counted = {
            "no session ended by a fault": sum(bool(each.problem) for each in sessions),
            "no sample unaccounted for": sum(each.unaccounted for each in sessions),
            "no committed word before its predecessor's end": sum(each.disordered for each in sessions),
            "no promise of the protocol broken": sum(len(each.violations) for each in sessions),
        }
        worse = self.disturbed_errors.rate_percent - self.undisturbed_errors.rate_percent
        return [
            *((f"{goal}: {count}", count == 0) for goal, count in counted.items()),
            (f"word error rate at most {WER_POINTS} points above undisturbed: {worse:+.2f}", worse <= WER_POINTS),
            self._gap_goal("gap after a kill", "kill", KILL_GAP_MS),
            self._gap_goal("gap in a drain", "drain", DRAIN_GAP_MS),
        ]

    def _gap_goal(self, what: str, cause: str, limit_ms: float) -> tuple[str, bool]:
        p95 = nearest_rank(self.gaps[cause], 95)
        seen = "none seen" if p95 is None else f"{p95:.0f} ms"
        return f"{what}, p95 at most {limit_ms:.0f} ms: {seen}", p95 is None or p95 <= limit_ms

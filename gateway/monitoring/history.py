"""The last ten minutes as figures in time order, and the last events, for the monitor page (core)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

JsonObject = dict[str, Any]

BUCKET_S = 5.0
BUCKETS = 120
"""Ten minutes in all."""

EVENTS = 60
"""The log keeps this many."""

JOINED_S = 60.0
"""A refusal within this time of another of the same kind is joined to it, so that many do not push out all else."""

MAX_SETUPS = 1000
"""The setup times of the last ten minutes are kept up to this many, for their median."""


@dataclass(slots=True)
class _Bucket:
    """The figures of `BUCKET_S` seconds: the worst values, and counts."""

    number: int
    used: int = 0
    lag_s: float | None = None
    setup_ms: float | None = None
    setups: int = 0
    refused: int = 0


class RollingHistory:
    """The worst lag, the slowest setup and the most slots in use of each bucket of the last ten minutes.

    Times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS)
        self._setups: deque[tuple[float, float]] = deque(maxlen=MAX_SETUPS)

    def sampled(self, now: float, *, used: int, lag_s: float | None) -> None:
        """Note the slots in use, and the worst lag; None if there is no session."""
        bucket = self._bucket(now)
        bucket.used = max(bucket.used, used)
        if lag_s is not None:
            bucket.lag_s = max(bucket.lag_s or 0.0, lag_s)

    def setup(self, now: float, total_ms: float) -> None:
        """Note how long a session took to become ready."""
        bucket = self._bucket(now)
        bucket.setups += 1
        bucket.setup_ms = max(bucket.setup_ms or 0.0, total_ms)
        self._setups.append((now, total_ms))

    def refused(self, now: float) -> None:
        self._bucket(now).refused += 1

    def number(self, now: float) -> int:
        """Return the number of the bucket that ``now`` is in: when it rises, there is something new to show."""
        return int(now // BUCKET_S)

    def body(self, now: float) -> JsonObject:
        """Return the figures as JSON, the oldest bucket first, the present one last; null where nothing was noted."""
        last = self.number(now)
        known = {bucket.number: bucket for bucket in self._buckets}
        row = [known.get(number) for number in range(last - BUCKETS + 1, last + 1)]
        recent = [total_ms for at, total_ms in self._setups if self.number(at) > last - BUCKETS]
        return {
            "bucket_s": BUCKET_S,
            "used": [None if each is None else each.used for each in row],
            "lag_s": [None if each is None or each.lag_s is None else round(each.lag_s, 2) for each in row],
            "setup_ms": [None if each is None or each.setup_ms is None else round(each.setup_ms, 1) for each in row],
            "setups": sum(each.setups for each in row if each),
            "refused": sum(each.refused for each in row if each),
            "setup_median_ms": _rounded(median_low(recent) if recent else None),
            "setup_slowest_ms": _rounded(max(recent, default=None)),
        }

    def _bucket(self, now: float) -> _Bucket:
        number = self.number(now)
        if not self._buckets or self._buckets[-1].number < number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]

    def check(self) -> None:
        """Assert what must hold between two calls."""
        numbers = [bucket.number for bucket in self._buckets]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= BUCKETS


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log.

    Attributes:
        number: rises from event to event.
        at: Unix time; of the last one if ``count`` is over 1.
        kind: ``allocated``, ``moved``, ``ended``, ``failed``, ``refused``, ``draining``, ``stopped``, ``lost`` or
            ``serving``.
        session: the beginning of its id.
        gpu_id: where it happened, or where a session went.
        from_gpu: where a session came from.
        detail: a reason, an outcome, or how long it took.
        count: how many events this line stands for.
    """

    number: int
    at: float
    kind: str
    session: str | None = None
    gpu_id: int | None = None
    from_gpu: int | None = None
    detail: str | None = None
    count: int = 1


class EventLog:
    """The last `EVENTS` events, newest last."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=EVENTS)
        self._next = 1

    @property
    def version(self) -> tuple[int, int]:
        """Return a value that changes whenever the events do."""
        return self._next, sum(event.count for event in self._kept)

    def note(
        self,
        at: float,
        kind: str,
        *,
        session: str | None = None,
        gpu_id: int | None = None,
        from_gpu: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Add an event, or join it to an earlier one; see `Event` for the arguments."""
        if kind == "refused" and self._join(at, detail):
            return
        short = None if session is None else short_id(session)
        self._kept.append(Event(self._next, round(at, 3), kind, short, gpu_id, from_gpu, detail))
        self._next += 1

    def _join(self, at: float, detail: str | None) -> bool:
        for index in range(len(self._kept) - 1, -1, -1):
            event = self._kept[index]
            if (event.kind, event.detail) == ("refused", detail) and at - event.at < JOINED_S:
                self._kept[index] = replace(event, at=round(at, 3), session=None, count=event.count + 1)
                return True
        return False

    def body(self) -> list[JsonObject]:
        """Return the events as JSON, newest first, without keys that would be null."""
        return [_plain(event) for event in sorted(self._kept, key=lambda each: (-each.at, -each.number))]

    def check(self) -> None:
        """Assert what must hold between two calls."""
        numbers = [event.number for event in self._kept]
        assert numbers == sorted(set(numbers))
        assert all(number < self._next for number in numbers)
        assert len(numbers) <= EVENTS


def short_id(session: str) -> str:
    """Return the beginning of a session's id, enough to tell it from others at a glance."""
    return session[:8]


def _plain(event: Event) -> JsonObject:
    fields: Mapping[str, object] = {
        "id": event.number,
        "at": event.at,
        "kind": event.kind,
        "session": event.session,
        "gpu_id": event.gpu_id,
        "from_gpu": event.from_gpu,
        "detail": event.detail,
        "count": event.count,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

"""Everything that scripts/status shows of a gateway, from the body of /monitor/state (core)."""

from dataclasses import dataclass

from scripts.operating.status import Json


@dataclass(frozen=True, slots=True)
class Session:
    """A session in a slot, or waiting for one; what is not known is None."""

    id: str
    state: str
    age_s: float | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU worker."""

    gpu_id: int
    state: str
    used: int
    slots: int
    memory_used_gb: float | None
    memory_total_gb: float | None
    utilization_percent: float | None
    lag_s: float | None
    boots: int
    weights: str | None
    sessions: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, ``count`` times; ``at`` is Unix time."""

    at: float
    kind: str
    session: str | None
    gpu_id: int | None
    from_gpu: int | None
    detail: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A gateway at one moment; ``body`` is all it said."""

    health: str
    at: float
    uptime_s: float
    used_slots: int
    total_slots: int
    model: str | None
    lag_s: float | None
    setup_median_ms: float | None
    setup_slowest_ms: float | None
    setups: int
    refused: int
    gpus: tuple[Gpu, ...]
    elsewhere: tuple[Session, ...]
    events: tuple[Event, ...]
    body: Json

    @property
    def serving(self) -> int:
        """Return how many workers take sessions."""
        return sum(gpu.state == "serving" for gpu in self.gpus)


def read_overview(body: Json) -> Overview:
    """Return what the body tells.

    Raises:
        ValueError: it is not what our gateway answers.
    """
    try:
        history = _object(body["history"])
        return Overview(
            health=_word(body["status"]),
            at=_number(body["at"]),
            uptime_s=_number(body["uptime_s"]),
            used_slots=_integer(body["used_slots"]),
            total_slots=_integer(body["total_slots"]),
            model=_optional_word(body["model"]),
            lag_s=_optional(body["lag_s"]),
            setup_median_ms=_optional(history["setup_median_ms"]),
            setup_slowest_ms=_optional(history["setup_slowest_ms"]),
            setups=_integer(history["setups"]),
            refused=_integer(history["refused"]),
            gpus=tuple(_gpu(_object(each)) for each in _list(body["gpus"])),
            elsewhere=tuple(_session(_object(each)) for each in _list(body["elsewhere"])),
            events=tuple(_event(_object(each)) for each in _list(body["events"])),
            body=body,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the server does not answer like our gateway: {error!r}") from error


def _gpu(body: Json) -> Gpu:
    return Gpu(
        gpu_id=_integer(body["gpu_id"]),
        state=_word(body["state"]),
        used=_integer(body["used"]),
        slots=_integer(body["slots"]),
        memory_used_gb=_optional(body["memory_used_gb"]),
        memory_total_gb=_optional(body["memory_total_gb"]),
        utilization_percent=_optional(body["utilization_percent"]),
        lag_s=_optional(body["lag_s"]),
        boots=_integer(body["boots"]),
        weights=_optional_word(body["weights"]),
        sessions=tuple(_session(_object(each)) for each in _list(body["sessions"])),
    )


def _session(body: Json) -> Session:
    return Session(_word(body["id"]), _word(body["state"]), _optional(body["age_s"]), _optional(body["lag_s"]))


def _event(body: Json) -> Event:
    gpu_id, from_gpu = body.get("gpu_id"), body.get("from_gpu")
    return Event(
        at=_number(body["at"]),
        kind=_word(body["kind"]),
        session=_optional_word(body.get("session")),
        gpu_id=None if gpu_id is None else _integer(gpu_id),
        from_gpu=None if from_gpu is None else _integer(from_gpu),
        detail=_optional_word(body.get("detail")),
        count=_integer(body["count"]),
    )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _optional(value: object) -> float | None:
    return None if value is None else _number(value)


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return "".join(each if each.isprintable() else "?" for each in value)  # it goes to somebody's terminal


def _optional_word(value: object) -> str | None:
    return None if value is None else _word(value)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value

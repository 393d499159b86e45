"""Everything that scripts/status shows of a gateway, from the body of /monitor/state (core)."""

from dataclasses import dataclass

from scripts.operating.values import Json, integer, items, mapping, number, optional_number, optional_word, word


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
        history = mapping(body["history"])
        return Overview(
            health=word(body["status"]),
            at=number(body["at"]),
            uptime_s=number(body["uptime_s"]),
            used_slots=integer(body["used_slots"]),
            total_slots=integer(body["total_slots"]),
            model=optional_word(body["model"]),
            lag_s=optional_number(body["lag_s"]),
            setup_median_ms=optional_number(history["setup_median_ms"]),
            setup_slowest_ms=optional_number(history["setup_slowest_ms"]),
            setups=integer(history["setups"]),
            refused=integer(history["refused"]),
            gpus=tuple(_gpu(mapping(each)) for each in items(body["gpus"])),
            elsewhere=tuple(_session(mapping(each)) for each in items(body["elsewhere"])),
            events=tuple(_event(mapping(each)) for each in items(body["events"])),
            body=body,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the server does not answer like our gateway: {error!r}") from error


def _gpu(body: Json) -> Gpu:
    return Gpu(
        gpu_id=integer(body["gpu_id"]),
        state=word(body["state"]),
        used=integer(body["used"]),
        slots=integer(body["slots"]),
        memory_used_gb=optional_number(body["memory_used_gb"]),
        memory_total_gb=optional_number(body["memory_total_gb"]),
        utilization_percent=optional_number(body["utilization_percent"]),
        lag_s=optional_number(body["lag_s"]),
        boots=integer(body["boots"]),
        weights=optional_word(body["weights"]),
        sessions=tuple(_session(mapping(each)) for each in items(body["sessions"])),
    )


def _session(body: Json) -> Session:
    return Session(
        word(body["id"]), word(body["state"]), optional_number(body["age_s"]), optional_number(body["lag_s"])
    )


def _event(body: Json) -> Event:
    gpu_id, from_gpu = body.get("gpu_id"), body.get("from_gpu")
    return Event(
        at=number(body["at"]),
        kind=word(body["kind"]),
        session=optional_word(body.get("session")),
        gpu_id=None if gpu_id is None else integer(gpu_id),
        from_gpu=None if from_gpu is None else integer(from_gpu),
        detail=optional_word(body.get("detail")),
        count=integer(body["count"]),
    )

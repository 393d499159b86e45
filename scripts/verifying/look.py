"""Read what the server's endpoints say at one moment (core)."""

from collections.abc import Mapping
from dataclasses import dataclass

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU's worker.

    Attributes:
        sessions: its connections.
        names: their ids, None where the server does not show them.
        memory_gb: what it has allocated; None is unknown.
        weights: ``device`` or ``host`` (or ``loading``); None where the server does not say.
    """

    gpu_id: int
    serving: bool
    sessions: int
    slots: int
    names: frozenset[str] | None
    memory_gb: float | None
    weights: str | None
    device: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """Everything at one moment; ``waiting`` counts sessions without a slot, ``share_percent`` is of the capacity."""

    at_s: float
    gpus: tuple[Gpu, ...]
    waiting: int
    health: str
    share_percent: float | None
    model: str | None

    @property
    def serving(self) -> tuple[Gpu, ...]:
        """Those that take sessions."""
        return tuple(gpu for gpu in self.gpus if gpu.serving)

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of those that do not."""
        return tuple(gpu.gpu_id for gpu in self.gpus if not gpu.serving)

    @property
    def loads(self) -> tuple[int, ...]:
        """How many sessions each serving one has."""
        return tuple(gpu.sessions for gpu in self.serving)

    @property
    def names(self) -> frozenset[str]:
        """The ids of all sessions, as far as the server shows them."""
        return frozenset().union(*(gpu.names for gpu in self.gpus if gpu.names))

    def gpu(self, gpu_id: int) -> Gpu | None:
        """Return the GPU of this number."""
        return next((gpu for gpu in self.gpus if gpu.gpu_id == gpu_id), None)

    @property
    def resting(self) -> bool:
        """Whether nobody is there and no weights are on a device, as far as the server says."""
        return not sum(self.loads) and all(gpu.weights in {None, "host"} for gpu in self.serving)


def read_look(gpu_status: Json, health: Json, at_s: float) -> Look:
    """Read the bodies of ``/gpu-status`` and ``/health``; beyond the guide's own keys all are optional.

    Raises:
        ValueError: they are not what the guide says; the message is one line.
    """
    rows = gpu_status.get("gpus")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        told = gpu_status.get("error") or gpu_status.get("detail") or "it lists no GPUs"
        raise ValueError(f"/gpu-status: {told}")
    status = health.get("status")
    if not isinstance(status, str):
        raise ValueError("/health says no status")  # noqa: TRY004 - it is the value that is wrong
    capacity = health.get("capacity")
    model = health.get("model")
    return Look(
        at_s=at_s,
        gpus=tuple(sorted((_gpu(row, gpu_status) for row in rows), key=lambda gpu: gpu.gpu_id)),
        waiting=sum(_count(gpu_status.get(key)) for key in ("waiting_connection_ids", "graced_connection_ids")),
        health=status,
        share_percent=_number(capacity.get("utilization_percent")) if isinstance(capacity, dict) else None,
        model=model if isinstance(model, str) else None,
    )


def _gpu(row: Json, around: Json) -> Gpu:
    gpu_id, sessions = row.get("gpu_id"), row.get("active_connections")
    if not isinstance(gpu_id, int) or not isinstance(sessions, int):
        raise ValueError("/gpu-status: a GPU without gpu_id or active_connections")  # noqa: TRY004 - a value's
    names, slots = row.get("connection_ids"), row.get("slots") or around.get("max_connections_per_gpu")
    return Gpu(
        gpu_id=gpu_id,
        serving=row.get("state", "serving") == "serving",
        sessions=sessions,
        slots=slots if isinstance(slots, int) else 0,
        names=frozenset(map(str, names)) if isinstance(names, list) else None,
        memory_gb=_number(row.get("allocated_memory_gb")),
        weights=_text(row.get("weights")),
        device=_text(row.get("device")),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int:
    return len(value) if isinstance(value, list) else 0

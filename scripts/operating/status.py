"""What the gateway says about its workers and sessions (core)."""

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.operating.values import Json, integer, mappings, number, words


@dataclass(frozen=True, slots=True)
class Worker:
    """One GPU worker as the gateway sees it; ``boot`` names one life of it."""

    gpu_id: int
    state: str
    boot: str | None
    slots: int
    sessions: frozenset[str]

    @property
    def serving(self) -> bool:
        """Tell whether it takes sessions."""
        return self.state == "serving"

    @property
    def free(self) -> int:
        """Return how many more sessions it takes."""
        return max(0, self.slots - len(self.sessions))


@dataclass(frozen=True, slots=True)
class Move:
    """A session went on on another worker, after ``gap_ms`` without one."""

    session: str
    from_gpu: int | None
    to_gpu: int | None
    reason: str
    gap_ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment; ``endings`` has the outcome of each recently ended session."""

    workers: tuple[Worker, ...]
    waiting: frozenset[str]
    graced: frozenset[str]
    moves: tuple[Move, ...]
    endings: Mapping[str, str]

    def worker(self, gpu_id: int) -> Worker | None:
        """Return the worker of this number."""
        return next((worker for worker in self.workers if worker.gpu_id == gpu_id), None)

    def place(self, session: str) -> int | None:
        """Return the GPU whose worker serves the session now."""
        return next((worker.gpu_id for worker in self.workers if session in worker.sessions), None)


def read(gpu_status: Json, performance: Json) -> Status:
    """Return the status that two bodies tell.

    Raises:
        ValueError: they are not what our gateway answers.
    """
    if gpu_status.get("waiting_connection_ids", ()) is None:
        raise ValueError("the server names its sessions only to who is on its machine, or has its MONITOR_TOKEN")
    try:
        return Status(
            workers=tuple(_worker(each) for each in mappings(gpu_status["gpus"])),
            waiting=frozenset(words(gpu_status["waiting_connection_ids"])),
            graced=frozenset(words(gpu_status["graced_connection_ids"])),
            moves=tuple(_move(each) for each in mappings(performance["recent_moves"])),
            endings={str(each["connection"]): str(each["outcome"]) for each in mappings(performance["recent_endings"])},
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the server does not answer like our gateway: {error!r}") from error


def _worker(body: Json) -> Worker:
    return Worker(
        gpu_id=integer(body["gpu_id"]),
        state=str(body["state"]),
        boot=None if body["boot"] is None else str(body["boot"]),
        slots=integer(body["slots"]),
        sessions=frozenset(words(body["connection_ids"])),
    )


def _move(body: Json) -> Move:
    def gpu(key: str) -> int | None:
        return None if body[key] is None else integer(body[key])

    return Move(
        session=str(body["connection"]),
        from_gpu=gpu("from_gpu"),
        to_gpu=gpu("to_gpu"),
        reason=str(body["reason"]),
        gap_ms=number(body["gap_ms"]),
        at=number(body["at"]),
    )

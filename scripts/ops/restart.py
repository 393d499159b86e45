"""Judge whether a worker may be restarted, and what became of its sessions since."""

import enum
from dataclasses import dataclass

from scripts.tools.server_api import GpuStatus, Move, Performance

ENDED_WELL = frozenset({"complete", "client_left"})


def refusal(status: GpuStatus, gpu_id: int) -> str | None:
    worker = status.worker(gpu_id)
    if worker is None:
        return f"There is no GPU worker {gpu_id}; there are {', '.join(str(w.gpu_id) for w in status.gpus)}."
    others = [other for other in status.gpus if other.serving and other.gpu_id != gpu_id]
    count = worker.active_connections
    if count and not others:
        return f"GPU worker {gpu_id} is the last one that serves, and has {sessions(count)}."
    room = sum(other.free for other in others)
    if count > room:
        return f"GPU worker {gpu_id} has {sessions(count)}, and the others have room for {room}."
    return None


def sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


class Fate(enum.Enum):
    ELSEWHERE = "is on another worker"
    BACK = "is on the new worker"
    STAYED = "is still on the old worker"
    WAITING = "waits for a free slot"
    GRACED = "waits for its client"
    COMPLETE = "ended normally"
    FAILED = "was ended"
    UNKNOWN = "is nowhere"


KEPT = frozenset({Fate.ELSEWHERE, Fate.BACK, Fate.GRACED, Fate.COMPLETE})


@dataclass(frozen=True, slots=True)
class Account:
    session: str
    fate: Fate
    moves: tuple[Move, ...]
    outcome: str | None


class Restart:
    def __init__(self, status: GpuStatus, performance: Performance, gpu_id: int) -> None:
        worker = status.worker(gpu_id)
        if worker is None:
            raise KeyError(gpu_id)
        self.gpu_id = gpu_id
        self._boot = worker.boot
        self._sessions = worker.connection_ids or frozenset()
        self._known = frozenset(performance.recent_moves)
        self._moves: list[Move] = []
        self._endings: dict[str, str] = {}
        self._now = status

    def update(self, status: GpuStatus, performance: Performance) -> list[Move]:
        self._now = status
        fresh = [
            move
            for move in performance.recent_moves
            if move.connection in self._sessions and move not in self._known and move not in self._moves
        ]
        self._moves += fresh
        for ending in performance.recent_endings:
            if ending.connection is not None and ending.connection in self._sessions:
                self._endings[ending.connection] = ending.outcome
        return fresh

    @property
    def back(self) -> bool:
        worker = self._now.worker(self.gpu_id)
        return worker is not None and worker.serving and worker.boot != self._boot

    @property
    def settled(self) -> bool:
        open_fates = (Fate.STAYED, Fate.WAITING, Fate.UNKNOWN)
        return not any(account.fate in open_fates for account in self.accounts())

    @property
    def kept(self) -> bool:
        return all(account.fate in KEPT for account in self.accounts())

    def accounts(self) -> list[Account]:
        return [self._account(name) for name in sorted(self._sessions)]

    def _account(self, name: str) -> Account:
        moves = tuple(move for move in self._moves if move.connection == name)
        return Account(name, self._fate(name), moves, self._endings.get(name))

    def _fate(self, name: str) -> Fate:
        if name in self._endings:
            return Fate.COMPLETE if self._endings[name] in ENDED_WELL else Fate.FAILED
        place = next((gpu.gpu_id for gpu in self._now.gpus if name in (gpu.connection_ids or ())), None)
        if place is not None and place != self.gpu_id:
            return Fate.ELSEWHERE
        if place is not None:
            return Fate.BACK if self.back else Fate.STAYED
        if name in (self._now.waiting_connection_ids or ()):
            return Fate.WAITING
        return Fate.GRACED if name in (self._now.graced_connection_ids or ()) else Fate.UNKNOWN

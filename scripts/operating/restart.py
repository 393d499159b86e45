"""Whether a worker may be restarted, and what became of its sessions since (core)."""

import enum
from dataclasses import dataclass

from scripts.operating.status import Move, Status

ENDED_WELL = frozenset({"complete", "client_left"})


def refusal(status: Status, gpu_id: int) -> str | None:
    """Return why the worker should not be restarted now, None if nothing speaks against it."""
    worker = status.worker(gpu_id)
    if worker is None:
        return f"There is no GPU worker {gpu_id}; there are {', '.join(str(w.gpu_id) for w in status.workers)}."
    others = [other for other in status.workers if other.serving and other.gpu_id != gpu_id]
    count = len(worker.sessions)
    if count and not others:
        return f"GPU worker {gpu_id} is the last one that serves, and has {sessions(count)}."
    room = sum(other.free for other in others)
    if count > room:
        return f"GPU worker {gpu_id} has {sessions(count)}, and the others have room for {room}."
    return None


def sessions(count: int) -> str:
    """Return a number of sessions in words."""
    return "1 session" if count == 1 else f"{count} sessions"


class Fate(enum.Enum):
    """What became of one session."""

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
    """One session's fate, with its moves on the way, and the outcome if it ended."""

    session: str
    fate: Fate
    moves: tuple[Move, ...]
    outcome: str | None


class Restart:
    """One worker's restart, from the status before it.

    Args:
        before: the status when it was asked for.
        gpu_id: the worker's number.

    Raises:
        KeyError: there is no such worker.
    """

    def __init__(self, before: Status, gpu_id: int) -> None:
        worker = before.worker(gpu_id)
        if worker is None:
            raise KeyError(gpu_id)
        self.gpu_id = gpu_id
        self._boot = worker.boot
        self._sessions = worker.sessions
        self._known = frozenset(before.moves)
        self._moves: list[Move] = []
        self._endings: dict[str, str] = {}
        self._now = before

    def see(self, status: Status) -> list[Move]:
        """Take the present status; return the moves of these sessions that are new."""
        self._now = status
        fresh = [move for move in status.moves if move not in self._known and move not in self._moves]
        fresh = [move for move in fresh if move.session in self._sessions]
        self._moves += fresh
        self._endings |= {name: how for name, how in status.endings.items() if name in self._sessions}
        return fresh

    @property
    def back(self) -> bool:
        """Tell whether a new life of the worker serves."""
        worker = self._now.worker(self.gpu_id)
        return worker is not None and worker.serving and worker.boot != self._boot

    @property
    def settled(self) -> bool:
        """Tell whether every session has its place again, or has ended."""
        open_fates = (Fate.STAYED, Fate.WAITING, Fate.UNKNOWN)
        return not any(account.fate in open_fates for account in self.accounts())

    @property
    def kept(self) -> bool:
        """Tell whether no session was lost."""
        return all(account.fate in KEPT for account in self.accounts())

    def accounts(self) -> list[Account]:
        """Return what became of each session that was on the worker."""
        return [
            Account(
                name,
                self._fate(name),
                tuple(move for move in self._moves if move.session == name),
                self._endings.get(name),
            )
            for name in sorted(self._sessions)
        ]

    def _fate(self, name: str) -> Fate:
        if name in self._endings:
            return Fate.COMPLETE if self._endings[name] in ENDED_WELL else Fate.FAILED
        place = self._now.place(name)
        if place is not None and place != self.gpu_id:
            return Fate.ELSEWHERE
        if place is not None:
            return Fate.BACK if self.back else Fate.STAYED
        if name in self._now.waiting:
            return Fate.WAITING
        return Fate.GRACED if name in self._now.graced else Fate.UNKNOWN

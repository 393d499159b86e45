"""The CPU time of the server's processes (door: the only importer of psutil here)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds used so far; None where there never was such a process."""

    gateway_s: float | None
    workers_s: float | None


class ServerProcesses:
    """The given processes and all their children, those that start or end meanwhile included."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._roots = tuple(pids)
        self._used_s: dict[tuple[int, float], tuple[str, float]] = {}
        self._before_s: dict[tuple[int, float], float] = {}
        self._look()
        # What a process used before the load began does not count; one that starts later counts from its start.
        self._before_s = {key: used_s for key, (_, used_s) in self._used_s.items()}

    def cpu_time(self) -> CpuTime:
        """Return the CPU time since this object was made; ask often: what dies in between two calls is missed."""
        self._look()
        totals_s: dict[str, float] = {}
        for key, (role, used_s) in self._used_s.items():
            totals_s[role] = totals_s.get(role, 0.0) + used_s - self._before_s.get(key, 0.0)
        return CpuTime(totals_s.get("gateway"), totals_s.get("gpu_worker"))

    def _look(self) -> None:
        for process in _family(self._roots):
            try:
                role = _role(process.cmdline())
                times = process.cpu_times()
                if role:
                    self._used_s[process.pid, process.create_time()] = (role, times.user + times.system)
            except _GONE:
                continue


def find_server(run_dir: Path, port: int) -> int | None:
    """Return the pid of the supervisord whose gateway listens on this machine's port, None if there is none."""
    try:
        pid = int((run_dir / "supervisord.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    for process in _family([pid]):
        try:
            listening = {each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"}
        except _GONE:
            continue
        if port in listening:
            return pid
    return None


def _family(pids: Sequence[int]) -> list[psutil.Process]:
    found = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            found.update({process.pid: process for process in [root, *root.children(recursive=True)]})
        except _GONE:
            continue
    return list(found.values())


def _role(command: Sequence[str]) -> str | None:
    """Return the NAME of ``python -m NAME`` for a gateway or a worker; supervisord does no work for a session."""
    named = {after for option, after in pairwise(command) if option == "-m"}
    return next((role for role in ("gateway", "gpu_worker") if role in named), None)

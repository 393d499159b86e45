"""Restarts workers one after the other and tells what it sees (shell)."""

import time
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from scripts.operating.control import DOWN, Control
from scripts.operating.monitoring import Monitoring, UnreachableError
from scripts.operating.restart import KEPT, Restart, refusal, sessions
from scripts.operating.status import Move, Status

POLL_S = 0.1
KILL_AFTER_DRAIN_S = 10.0
"""A worker that is still there so long after its drain is killed, as supervisord's own stop does."""


class RefusedError(Exception):
    """Nothing was done; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to restart: ``timeout_s`` for all of one worker's restart, ``drain_s`` as the server has it."""

    force: bool
    timeout_s: float
    drain_s: float


class Rolling:
    """Restarts workers of one server.

    Args:
        monitoring: its gateway.
        control: its supervisord.
        console: where to tell what happens.
        options: see `Options`.
    """

    def __init__(self, monitoring: Monitoring, control: Control, console: Console, options: Options) -> None:
        self._monitoring = monitoring
        self._control = control
        self._console = console
        self._options = options

    def restart(self, gpu_id: int) -> bool:
        """Restart one worker; tell whether it is back and no session was lost.

        Raises:
            RefusedError: it would end or hold up sessions, and that was not forced.
            UnreachableError: the gateway does not answer at the start.
            ControlError: supervisord does not do as it is told.
        """
        before = self._monitoring.status()
        self._check(before, gpu_id)
        restart = Restart(before, gpu_id)
        worker = before.worker(gpu_id)
        state, pid = self._control.info(gpu_id)
        began = time.monotonic()
        held = sessions(len(worker.sessions) if worker else 0)
        self._say(f"GPU worker {gpu_id} ({worker.state if worker else '-'}, pid {pid or '-'}) has {held}.")
        if state in DOWN:
            self._say(f"It is {state.lower()}: starting it.")
            self._control.start(gpu_id)
        else:
            self._say("Told it to hand them over and stop." if worker and worker.sessions else "Told it to stop.")
            self._control.signal(gpu_id, "TERM")
        self._watch(restart, pid, began)
        return self._conclude(restart, time.monotonic() - began)

    def all(self) -> bool:
        """Restart every worker, one after the other; stop at the first that goes wrong."""
        status = self._monitoring.status()
        numbers = [worker.gpu_id for worker in status.workers]
        return all(self.restart(number) for number in numbers)

    def _check(self, status: Status, gpu_id: int) -> None:
        why = refusal(status, gpu_id)
        if why is None:
            return
        if status.worker(gpu_id) is None or not self._options.force:
            raise RefusedError(why)
        self._say(f"{why} Going on, as forced: sessions without a slot wait in line.", "yellow")

    def _watch(self, restart: Restart, pid: int, began: float) -> None:
        """Follow the restart until it is over or late."""
        killed, stopped = False, False
        while (age_s := time.monotonic() - began) < self._options.timeout_s:
            try:
                for move in restart.see(self._monitoring.status()):
                    self._tell(move)
            except UnreachableError as error:
                self._say(str(error), "red")
            if restart.back and restart.settled:
                return
            stopped = stopped or self._control.info(restart.gpu_id)[1] != pid
            if not stopped and not killed and age_s > self._options.drain_s + KILL_AFTER_DRAIN_S:
                self._say(f"It has not stopped within {age_s:.0f} s: killing it.", "red")
                self._control.signal(restart.gpu_id, "KILL")
                killed = True
            time.sleep(POLL_S)

    def _tell(self, move: Move) -> None:
        self._say(
            f"  {move.session}  GPU {_or_dash(move.from_gpu)} -> GPU {_or_dash(move.to_gpu)}"
            f"  {move.gap_ms:.0f} ms without a worker  ({move.reason})"
        )

    def _conclude(self, restart: Restart, took_s: float) -> bool:
        accounts = restart.accounts()
        for account in accounts:
            if account.fate not in KEPT or not account.moves:
                colour = None if account.fate in KEPT else "bold red"
                how = f" ({account.outcome})" if account.outcome else ""
                self._say(f"  {account.session}  {account.fate.value}{how}", colour)
        kept = sum(account.fate in KEPT for account in accounts)
        gaps = sorted(move.gap_ms for account in accounts for move in account.moves)
        longest = f", {gaps[-1]:.0f} ms without a worker at most" if gaps else ""
        if restart.back:
            self._say(f"GPU worker {restart.gpu_id} serves again after {took_s:.1f} s.", "green")
        else:
            self._say(f"GPU worker {restart.gpu_id} is NOT back after {took_s:.1f} s.", "bold red")
        text = f"{kept} of {sessions(len(accounts))} kept{longest}."
        self._say(text, "green" if kept == len(accounts) else "bold red")
        return restart.back and restart.kept

    def _say(self, text: str, colour: str | None = None) -> None:
        self._console.print(escape(text), style=colour, highlight=False, soft_wrap=True)


def _or_dash(gpu_id: int | None) -> str:
    return "-" if gpu_id is None else str(gpu_id)

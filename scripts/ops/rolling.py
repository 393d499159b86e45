"""Restart workers one after the other, and tell what is seen (`scripts/restart_gpu_worker`)."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from whisper_live_client.cli import session_options

from scripts.ops.restart import KEPT, Restart, refusal, sessions
from scripts.server.supervise import find_run_dir
from scripts.tools.options import gateway_token_option, gateway_url_option, run_dir_option
from scripts.tools.server_api import AnswerError, GpuStatus, Move, Performance, ServerApi, UnreachableError
from scripts.tools.supervisord import DOWN, Supervisord, SupervisordError
from shared.settings import CommonSettings

POLL_S = 0.1
KILL_AFTER_DRAIN_S = 10.0
"""A worker that is still there this long after its drain is killed, as supervisord's own stop does."""
_EXIT_CODES = """\b
Exit codes:
  0  each worker is back, and every session it had is still there or ended normally
  1  something went wrong; what, stands above
  2  nothing was done: wrong usage, or refused
"""


@click.command(epilog=_EXIT_CODES, context_settings=session_options.SETTINGS)
@click.argument("gpu_id", metavar="N", type=click.IntRange(min=0), required=False)
@click.option("--all", "everyone", is_flag=True, help="All workers, one after the other.")
@gateway_url_option
@run_dir_option("The server's RUN_DIR.")
@gateway_token_option
@click.option("--force", is_flag=True, help="Also when its sessions would have to wait in line for a slot.")
@session_options.seconds("--timeout", "timeout_s", "Bound on one worker's restart.", default=120.0)
def command(
    *, gpu_id: int | None, everyone: bool, url: str, run_dir: Path, token: str | None, force: bool, timeout_s: float
) -> None:
    """Restart the worker of GPU N: its sessions go on elsewhere, then it stops and starts anew."""
    if (gpu_id is None) != everyone:
        raise click.UsageError("Name one worker, or --all.")
    drain_s = CommonSettings.from_env(os.environ).drain_s
    supervisord = Supervisord(find_run_dir(run_dir))
    rolling = Rolling(ServerApi(url, token), supervisord, Console(), force, timeout_s, drain_s)
    try:
        good = rolling.restart_all() if gpu_id is None else rolling.restart(gpu_id)
    except RefusedError as error:
        click.echo(f"{error} Nothing was done; --force does it all the same.", err=True)
        sys.exit(2)
    except (UnreachableError, SupervisordError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(0 if good else 1)


def main() -> None:
    command(prog_name="scripts/restart_gpu_worker")


class RefusedError(Exception):
    """Nothing was done; the message says why."""


@dataclass(frozen=True, slots=True)
class Rolling:
    _server: ServerApi
    _supervisord: Supervisord
    _console: Console
    _force: bool
    _timeout_s: float  # for all of one worker's restart
    _drain_s: float  # as the server has it

    def restart(self, gpu_id: int) -> bool:
        status, performance = self._look()
        self._check(status, gpu_id)
        restart = Restart(status, performance, gpu_id)
        worker = status.worker(gpu_id)
        process = self._supervisord.worker(gpu_id)
        began = time.monotonic()
        held = worker.active_connections if worker else 0
        self._say(
            f"GPU worker {gpu_id} ({worker.state if worker else '-'}, pid {process.pid or '-'}) has {sessions(held)}."
        )
        if process.state in DOWN:
            self._say(f"It is {process.state.lower()}: starting it.")
            self._supervisord.start(gpu_id)
        else:
            self._say("Told it to hand them over and stop." if held else "Told it to stop.")
            self._supervisord.signal(gpu_id, "TERM")
        self._watch(restart, process.pid, began)
        return self._conclude(restart, time.monotonic() - began)

    def restart_all(self) -> bool:
        return all(self.restart(worker.gpu_id) for worker in self._server.gpu_status().gpus)

    def _look(self) -> tuple[GpuStatus, Performance]:
        status = self._server.gpu_status()
        if status.waiting_connection_ids is None:
            to_whom = "only to who is on its machine, or has its MONITOR_TOKEN"
            raise AnswerError(f"{self._server.url}: the server names its sessions {to_whom}")
        return status, self._server.performance()

    def _check(self, status: GpuStatus, gpu_id: int) -> None:
        why = refusal(status, gpu_id)
        if why is None:
            return
        if status.worker(gpu_id) is None or not self._force:
            raise RefusedError(why)
        self._say(f"{why} Going on, as forced: sessions without a slot wait in line.", "yellow")

    def _watch(self, restart: Restart, pid: int | None, began: float) -> None:
        killed, stopped = False, False
        while (age_s := time.monotonic() - began) < self._timeout_s:
            try:
                for move in restart.update(*self._look()):
                    self._tell(move)
            except UnreachableError as error:
                self._say(str(error), "red")
            if restart.back and restart.settled:
                return
            stopped = stopped or self._supervisord.worker(restart.gpu_id).pid != pid
            if not stopped and not killed and age_s > self._drain_s + KILL_AFTER_DRAIN_S:
                self._say(f"It has not stopped within {age_s:.0f} s: killing it.", "red")
                self._supervisord.signal(restart.gpu_id, "KILL")
                killed = True
            time.sleep(POLL_S)

    def _tell(self, move: Move) -> None:
        old, new = ("-" if gpu_id is None else gpu_id for gpu_id in (move.from_gpu, move.to_gpu))
        self._say(
            f"  {move.connection}  GPU {old} -> GPU {new}  {move.gap_ms:.0f} ms without a worker  ({move.reason})"
        )

    def _conclude(self, restart: Restart, took_s: float) -> bool:
        accounts = restart.accounts()
        for account in accounts:
            if account.fate not in KEPT or not account.moves:
                how = f" ({account.outcome})" if account.outcome else ""
                self._say(
                    f"  {account.session}  {account.fate.value}{how}", None if account.fate in KEPT else "bold red"
                )
        kept = sum(account.fate in KEPT for account in accounts)
        gaps = sorted(move.gap_ms for account in accounts for move in account.moves)
        longest = f", {gaps[-1]:.0f} ms without a worker at most" if gaps else ""
        now, colour = ("serves again", "green") if restart.back else ("is NOT back", "bold red")
        self._say(f"GPU worker {restart.gpu_id} {now} after {took_s:.1f} s.", colour)
        text = f"{kept} of {sessions(len(accounts))} kept{longest}."
        self._say(text, "green" if restart.kept else "bold red")
        return restart.back and restart.kept

    def _say(self, text: str, colour: str | None = None) -> None:
        self._console.print(escape(text), style=colour, highlight=False, soft_wrap=True)

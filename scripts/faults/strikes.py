"""Does the faults and notes what they did (shell)."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence

from scripts.faults.network import Network
from scripts.faults.schedule import Fault, Kind, pick
from scripts.faults.verdict import Done
from scripts.tools.server_api import Move, ServerApi, UnreachableError, Worker
from scripts.tools.supervisord import Supervisord, SupervisordError

HANG_S = 4.0
POLL_S = 0.5
PATIENCE_S = 30.0
"""A fault waits at most so long for the server to be whole enough for it."""


class Strikes:
    """Disturbs one run and follows the server through it.

    Args:
        server: the gateway.
        control: its supervisord.
        networks: each session's way to the server.
    """

    def __init__(self, server: ServerApi, control: Supervisord, networks: Sequence[Network]) -> None:
        self.done: list[Done] = []
        self.moves: list[Move] = []
        self.skipped: list[Fault] = []
        self._server = server
        self._control = control
        self._networks = networks
        self._hung: set[asyncio.Task[None]] = set()
        self._began = time.time()

    async def watch(self) -> None:
        """Collect the server's moves for ever; it shows only the last ones itself."""
        while True:
            await self.collect()
            await asyncio.sleep(POLL_S)

    async def collect(self) -> None:
        """Collect the moves that are new since the start."""
        with contextlib.suppress(UnreachableError):
            performance = await asyncio.to_thread(self._server.performance)
            self.moves += [
                move for move in performance.recent_moves if move.at >= self._began and move not in self.moves
            ]

    async def strike(self, faults: Sequence[Fault]) -> None:
        """Do each fault at its time, counted from now, and let whoever hangs go on."""
        began = time.monotonic()
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
            await self._do(fault)
        if self._hung:
            await asyncio.wait(self._hung)

    async def _do(self, fault: Fault) -> None:
        if fault.kind is Kind.CUT:
            victim = pick(fault.choice, len(self._networks))
            if self._networks[victim].cut():
                self._note(fault.kind, victim)
            return
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            serving = [worker for worker in await asyncio.to_thread(self._workers) if worker.serving]
            # The busy ones are worth it; another must be left, or this would only show that nothing serves nobody.
            busy = [worker.gpu_id for worker in serving if worker.active_connections]
            if len(serving) >= 2 and busy:
                await self._hit(fault.kind, busy[pick(fault.choice, len(busy))])
                return
            await asyncio.sleep(POLL_S)
        self.skipped.append(fault)

    async def _hit(self, kind: Kind, gpu_id: int) -> None:
        try:
            pid = (await asyncio.to_thread(self._control.worker, gpu_id)).pid
        except SupervisordError:
            return
        if pid is None:
            return
        self._note(kind, gpu_id)
        if kind is Kind.KILL:
            os.kill(pid, signal.SIGKILL)
        elif kind is Kind.DRAIN:
            os.kill(pid, signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGSTOP)
            task = asyncio.create_task(_let_go(pid))
            self._hung.add(task)
            task.add_done_callback(self._hung.discard)

    def _note(self, kind: Kind, victim: int) -> None:
        self.done.append(Done(kind, victim, time.time()))

    def _workers(self) -> tuple[Worker, ...]:
        try:
            return self._server.gpu_status().gpus
        except UnreachableError:
            return ()


async def _let_go(pid: int) -> None:
    await asyncio.sleep(HANG_S)
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return

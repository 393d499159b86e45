"""Inject the faults and note what they did (shell)."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence

from scripts.tools.server_api import Move, ServerApi, UnreachableError, Worker
from scripts.tools.supervisord import Supervisord, SupervisordError

from .proxy import Proxy
from .schedule import Fault, Kind, pick
from .verdict import Injected

HANG_S = 4.0
POLL_S = 0.5
WAIT_S = 30.0
"""A fault waits no longer than this for the server to be whole enough for it."""
_SIGNALS = {Kind.KILL: signal.SIGKILL, Kind.DRAIN: signal.SIGTERM, Kind.HANG: signal.SIGSTOP}


class FaultInjector:
    def __init__(self, server: ServerApi, supervisord: Supervisord, proxies: Sequence[Proxy]) -> None:
        self.injected: list[Injected] = []
        self.moves: list[Move] = []
        self.skipped: list[Fault] = []
        self._server = server
        self._supervisord = supervisord
        self._proxies = proxies
        self._began = time.time()

    async def watch(self) -> None:
        """Collect the server's moves until cancelled; it shows only the last ones itself."""
        while True:
            await self.collect()
            await asyncio.sleep(POLL_S)

    async def collect(self) -> None:
        with contextlib.suppress(UnreachableError):
            recent = (await asyncio.to_thread(self._server.performance)).recent_moves
            self.moves += [move for move in recent if move.at >= self._began and move not in self.moves]

    async def inject(self, faults: Sequence[Fault]) -> None:
        """Inject each fault at its time, counted from now, and let every hung worker go on."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as hangs:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
                if fault.kind is Kind.CUT:
                    victim = pick(fault.choice, len(self._proxies))
                    if self._proxies[victim].cut():
                        self._note(fault.kind, victim)
                elif (gpu_id := await self._victim(fault)) is None:
                    self.skipped.append(fault)
                else:
                    await self._signal(fault.kind, gpu_id, hangs)

    async def _victim(self, fault: Fault) -> int | None:
        """Return the GPU of a busy worker beside which another serves: a server with none left shows nothing."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            serving = [worker for worker in await asyncio.to_thread(self._workers) if worker.serving]
            busy = [worker.gpu_id for worker in serving if worker.active_connections]
            if len(serving) >= 2 and busy:
                return busy[pick(fault.choice, len(busy))]
            await asyncio.sleep(POLL_S)
        return None

    async def _signal(self, kind: Kind, gpu_id: int, hangs: asyncio.TaskGroup) -> None:
        try:
            pid = (await asyncio.to_thread(self._supervisord.worker, gpu_id)).pid
        except SupervisordError:
            return
        if pid is None:
            return
        self._note(kind, gpu_id)
        os.kill(pid, _SIGNALS[kind])
        if kind is Kind.HANG:
            hangs.create_task(_continue(pid))

    def _note(self, kind: Kind, victim: int) -> None:
        self.injected.append(Injected(kind, victim, time.time()))

    def _workers(self) -> tuple[Worker, ...]:
        try:
            return self._server.gpu_status().gpus
        except UnreachableError:
            return ()


async def _continue(pid: int) -> None:
    try:
        await asyncio.sleep(HANG_S)
    finally:  # an interrupt must not leave it stopped
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

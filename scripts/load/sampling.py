"""Look at the server and the machine once a second while a load runs (shell)."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.tools.server_api import ServerApi, UnreachableError

from .processes import CpuTime, ServerProcesses

_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The largest lag of any worker, and the load average, at one moment of the client's clock."""

    at_s: float
    lag_s: float | None
    load_average: float


@dataclass(frozen=True, slots=True)
class Observations:
    """All samples of a load, and the CPU seconds used in it, by the server (None where unknown) and by this client."""

    samples: tuple[Sample, ...]
    server: CpuTime
    client_s: float


class Sampler:
    """Samples a load; make it just before the load begins, since CPU time counts from then."""

    def __init__(self, api: ServerApi, processes: ServerProcesses | None) -> None:
        self._api = api
        self._processes = processes
        self._samples: list[Sample] = []
        self._used = CpuTime(None, None)
        self._client_before_s = time.process_time()

    async def run(self, on_sample: Callable[[Sample], None]) -> None:
        while True:
            on_sample(await self._sample())
            await asyncio.sleep(_PERIOD_S)

    async def finish(self) -> Observations:
        await self._sample()
        return Observations(tuple(self._samples), self._used, time.process_time() - self._client_before_s)

    async def _sample(self) -> Sample:
        lag_s = await asyncio.to_thread(self._lag_s)
        if self._processes:
            self._used = await asyncio.to_thread(self._processes.cpu_time)
        sample = Sample(time.monotonic(), lag_s, os.getloadavg()[0])
        self._samples.append(sample)
        return sample

    def _lag_s(self) -> float | None:
        try:
            return self._api.gpu_status().lag_s
        except UnreachableError:
            return None

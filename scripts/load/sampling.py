"""Look at the server and the machine once a second while a load runs (shell)."""

import asyncio
import os
import time
from collections.abc import Callable

from .monitor import Monitor
from .observations import Observations, Sample, Usage
from .processes import ServerProcesses

_PERIOD_S = 1.0


class Sampler:
    """Samples from its making on; to be made just before the load begins."""

    def __init__(self, monitor: Monitor, processes: ServerProcesses | None) -> None:
        self._monitor = monitor
        self._processes = processes
        self._samples: list[Sample] = []
        self._client_before_s = time.process_time()

    async def run(self, on_sample: Callable[[Sample], None]) -> None:
        """Sample until cancelled."""
        while True:
            on_sample(await self._sample())
            await asyncio.sleep(_PERIOD_S)

    async def finish(self) -> Observations:
        """Sample a last time and return everything."""
        await self._sample()
        used = await asyncio.to_thread(self._processes.cpu_time) if self._processes else None
        usage = Usage(
            gateway_s=used.gateway_s if used else None,
            workers_s=used.workers_s if used else None,
            client_s=time.process_time() - self._client_before_s,
        )
        return Observations(tuple(self._samples), usage)

    async def _sample(self) -> Sample:
        lag_s = await asyncio.to_thread(self._monitor.lag_s)
        if self._processes:
            await asyncio.to_thread(self._processes.cpu_time)
        sample = Sample(time.monotonic(), lag_s, os.getloadavg()[0])
        self._samples.append(sample)
        return sample

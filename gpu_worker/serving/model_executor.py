"""Run the model on a thread of its own, and tell for how long it runs and where the weights are (shell)."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gpu_worker.recognizer import Recognizer
from shared import logs

log = logs.get("gpu_worker")

Result = TypeVar("Result")


class ModelExecutor:
    """Runs loads and steps one at a time, so that the event loop stays free.

    Args:
        recognizer: the model.
        clock: monotonic seconds.

    Attributes:
        weights: ``host``, ``loading`` or ``device``, as heartbeats report it.
    """

    def __init__(self, recognizer: Recognizer, clock: Callable[[], float]) -> None:
        self.weights = "host"
        self._recognizer = recognizer
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._began: float | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run ``work`` on the model's thread and return its result."""
        self._began = self._clock()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._began = None

    async def load(self, announce: Callable[[], None]) -> None:
        """Load the weights to the device.

        ``announce`` is called first: a load may starve the event loop, and a gateway must know why heartbeats are late.
        """
        self.weights = "loading"
        announce()
        began = self._clock()
        await self.run(self._recognizer.load)
        self.weights = "device"
        log.info("Weights loaded", event_id="weights_loaded", load_ms=round((self._clock() - began) * 1000, 1))

    async def unload(self) -> None:
        await self.run(self._recognizer.unload)
        self.weights = "host"
        log.info("Weights released", event_id="weights_released")

    @property
    def step_s(self) -> float:
        """Return how long the running step has taken, 0 if none runs."""
        return 0.0 if self.weights == "loading" else self._running_s()

    @property
    def load_s(self) -> float:
        """Return how long the running load has taken, 0 if none runs."""
        return self._running_s() if self.weights == "loading" else 0.0

    def _running_s(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began

    def close(self) -> None:
        """Abandon the thread, even in the middle of a step."""
        self._thread.shutdown(wait=False, cancel_futures=True)

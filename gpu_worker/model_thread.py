"""The model on its one thread: what it does now and for how long, and where its weights are."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gpu_worker.recognizer import Recognizer
from shared import logs

log = logs.get("gpu_worker.model")

Result = TypeVar("Result")


class ModelThread:
    """Loads and steps run here, one at a time, so that the worker's loop goes on.

    Args:
        recognizer: the model.
        clock: monotonic seconds.

    Attributes:
        weights: ``host``, ``loading`` or ``device``, as heartbeats tell it.
    """

    def __init__(self, recognizer: Recognizer, clock: Callable[[], float]) -> None:
        self.weights = "host"
        self._recognizer = recognizer
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._began: float | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """Have something done that ought to be short."""
        self._began = self._clock()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._began = None

    async def load(self, tell: Callable[[], None]) -> None:
        """Bring the weights to the device; ``tell`` is called first, for it may leave the loop little time."""
        self.weights = "loading"
        tell()
        began = self._clock()
        await self.run(self._recognizer.load)
        self.weights = "device"
        log.info("Weights loaded", event_id="weights_loaded", load_ms=round((self._clock() - began) * 1000, 1))

    async def unload(self) -> None:
        """Take the weights off the device."""
        await self.run(self._recognizer.unload)
        self.weights = "host"
        log.info("Weights released", event_id="weights_released")

    @property
    def step_s(self) -> float:
        """Return how long what ought to be short has taken, 0 if nothing runs."""
        return 0.0 if self.weights == "loading" else self._running_s()

    @property
    def load_s(self) -> float:
        """Return how long the running load has taken, 0 if none runs."""
        return self._running_s() if self.weights == "loading" else 0.0

    def _running_s(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began

    def close(self) -> None:
        """Let go of the thread, whatever it does."""
        self._thread.shutdown(wait=False, cancel_futures=True)

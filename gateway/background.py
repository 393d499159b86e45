"""The tasks that run as long as the gateway serves; when one fails, the process has to end (shell)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

from shared import logs

log = logs.get("gateway")


class BackgroundTasks:
    """Runs the background tasks, and notes the first that ends by itself.

    The others go on then, so that the sessions can still be ended in an orderly way.

    Attributes:
        failure: a sentence about the task that failed first; None while all run.
        failed: set with ``failure``.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self.failed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, **work: Coroutine[object, object, None]) -> AsyncIterator[None]:
        """Run coroutines as tasks of these names until the context is left."""
        tasks = [asyncio.create_task(self._supervise(name, each), name=name) for name, each in work.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, name: str, work: Coroutine[object, object, None]) -> None:
        try:
            await work
            self._fail(name, None)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this task was cancelled but what it waited for, as by a zmq socket that is closed under its reader.
            self._fail(name, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and ends the process
            self._fail(name, error)

    def _fail(self, name: str, error: BaseException | None) -> None:
        self.failure = self.failure or f"the background task {name!r} has ended"
        log.error(f"The background task {name!r} has ended", event_id="background_failed", task=name, exc_info=error)
        self.failed.set()

"""A worker from its start to its end (shell): connect the parts, run their tasks, drain.

Only `StepScheduler` waits for the model. Loads and steps run on another thread, one at a time, so that heartbeats go
on and tell how long the running step has taken.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Callable

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognizer import Recognizer
from gpu_worker.serving.device_memory import DeviceMemory
from gpu_worker.serving.gateway_link import Gateway, Link
from gpu_worker.serving.heartbeat import HEARTBEAT_S, Heartbeater
from gpu_worker.serving.model_executor import ModelExecutor
from gpu_worker.serving.pacing import StepPacer
from gpu_worker.serving.request_handler import RequestHandler
from gpu_worker.serving.scheduler import StepScheduler
from gpu_worker.serving.slots import SlotTable
from shared import logs
from shared import messages as m
from shared.settings import WorkerSettings
from shared.zmq_socket import Context

log = logs.get("gpu_worker")

BATCH_CPU = 8
"""Windows of one step on a CPU, which gains little beyond: a decode takes 26.5, 22.4, 17.7, 15.9 ms at 1, 2, 4, 8."""

BATCH_CUDA = 64


class Worker:
    """One life of a worker process.

    Args:
        settings: see `WorkerSettings`.
        recognizer: the model.
        device_memory: reads the device's memory.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        recognizer: Recognizer,
        device_memory: DeviceMemory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._boot = uuid.uuid4().hex[:12]
        self._gateways: list[Gateway] = []
        self._table = SlotTable(settings.slots_per_gpu, PolicySettings())
        self._model = ModelExecutor(recognizer, clock)
        pacer = StepPacer(settings.step_min_s, settings.step_max_s)
        introduction = self._introduction(recognizer, device_memory)
        self._handler = RequestHandler(self._gateways, self._table, self._model, introduction, clock)
        self._heartbeater = Heartbeater(
            self._gateways,
            self._table,
            pacer,
            self._model,
            device_memory,
            lost_after_s=settings.gateway_lost_s,
            free_slots=self._handler.free_slots,
            clock=clock,
        )
        self._scheduler = StepScheduler(
            recognizer,
            self._model,
            self._table,
            pacer=pacer,
            handler=self._handler,
            heartbeater=self._heartbeater,
            batch=BATCH_CUDA if recognizer.info.device == "cuda" else BATCH_CPU,
            unload_s=settings.model_idle_unload_s,
            clock=clock,
        )

    def _introduction(self, recognizer: Recognizer, device_memory: DeviceMemory) -> m.Register:
        info = recognizer.info
        return m.Register(
            protocol=m.PROTOCOL,
            worker=self._settings.name(),
            boot=self._boot,
            gpu_id=self._settings.gpu_id,
            gpu_uuid=device_memory.uuid,
            slots=self._settings.slots_per_gpu,
            device=info.device,
            device_name=info.device_name,
            model=info.name,
            languages=info.languages,
            translates=info.translates,
            pid=os.getpid(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, let the gateways move the sessions away, then say goodbye."""
        context = Context()
        identity = f"{self._settings.name()}.{self._boot}"
        links = [
            Link(context, endpoint, identity, self._settings.queue_messages) for endpoint in self._settings.endpoints()
        ]
        self._gateways += [Gateway(link, self._clock()) for link in links]
        tasks = [asyncio.create_task(self._handler.receive(index)) for index in range(len(links))]
        loops = (self._scheduler.run(stop), self._heartbeater.run(), self._heartbeater.measure_memory())
        tasks += [asyncio.create_task(each) for each in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a task that ended by itself has failed
            await self._drain()
        finally:
            for task in [*tasks, stopping]:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            for gateway in self._gateways:
                gateway.link.send(m.Goodbye("stopped"))
                gateway.link.close()
            self._model.close()
            context.term()

    async def _drain(self) -> None:
        """Wait until the gateways have moved the sessions away, or for `drain_s`; the rest resume from the journals."""
        self._heartbeater.draining = True
        log.info("Worker drains", event_id="worker_draining", sessions=len(self._table))
        until = self._clock() + self._settings.drain_s
        announced_at = self._clock() + 2 * HEARTBEAT_S  # at least one heartbeat has told the gateways
        while self._clock() < announced_at or (len(self._table) and self._clock() < until):  # noqa: ASYNC110 - it is time that counts
            await asyncio.sleep(HEARTBEAT_S / 5)
        log.info("Worker stops", event_id="worker_stopped", sessions_left=len(self._table))

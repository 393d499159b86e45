"""Heartbeats, and watchdogs over silent gateways and over steps and loads that do not end (shell)."""

import asyncio
import os
from collections.abc import Callable
from typing import NoReturn

from gpu_worker.serving.device_memory import DeviceMemory
from gpu_worker.serving.gateway_link import Gateway
from gpu_worker.serving.model_executor import ModelExecutor
from gpu_worker.serving.pacing import StepPacer
from gpu_worker.serving.slots import SlotTable
from shared import logs
from shared import messages as m

log = logs.get("gpu_worker.serving.worker")

HEARTBEAT_S = 0.25
MEMORY_EVERY_S = 1.0
GIVE_UP_S = 15.0
GIVE_UP_MEDIANS = 60.0
"""A step that takes longer, and longer than this many median steps, ends the process.

That is three times as long as a gateway waits before it calls the worker stuck and moves its sessions.
"""
LOAD_GIVE_UP_S = 600.0
"""A load that takes longer ends the process too."""
EXIT_STUCK = 1


class Heartbeater:
    """Sends every gateway a heartbeat four times a second.

    Args:
        gateways: where heartbeats go.
        table: the slots.
        cadence: statistics of the steps.
        model: knows how long the running step or load has taken.
        gauge: memory of the device.
        lost_after_s: a gateway that is silent for longer has given up its sessions here.
        forget: frees a gateway's slots and returns how many there were.
        clock: monotonic seconds.

    Attributes:
        draining: whether the worker gives its sessions away.
    """

    def __init__(
        self,
        gateways: list[Gateway],
        table: SlotTable,
        cadence: StepPacer,
        model: ModelExecutor,
        gauge: DeviceMemory,
        *,
        lost_after_s: float,
        forget: Callable[[int], int],
        clock: Callable[[], float],
    ) -> None:
        self.draining = False
        self._gateways = gateways
        self._table = table
        self._cadence = cadence
        self._model = model
        self._gauge = gauge
        self._lost_after_s = lost_after_s
        self._forget = forget
        self._clock = clock
        self._memory = gauge.read()
        self._memory_due_at = clock() + MEMORY_EVERY_S

    async def measure_memory(self) -> None:
        """Read the memory once a second until cancelled.

        A task of its own, since reading takes long on a busy machine and no heartbeat may wait for it.
        """
        while True:
            if self._clock() >= self._memory_due_at:
                self._memory_due_at = self._clock() + MEMORY_EVERY_S
                # The kernel walks the process's pages for it: about 10 ms with a model loaded.
                self._memory = await asyncio.to_thread(self._gauge.read)
            await asyncio.sleep(HEARTBEAT_S)

    def measure_memory_soon(self) -> None:
        """Read the memory at the next opportunity: it has just changed."""
        self._memory_due_at = self._clock()

    async def run(self) -> None:
        """Send heartbeats until cancelled; end the process if a step or a load does not end."""
        beats = 0  # in a row that have seen the same step
        while True:
            step_s = self._model.step_s
            # Counted in beats, so that time in which the whole process was suspended does not count against the step.
            beats = beats + 1 if step_s > beats * HEARTBEAT_S else 0
            if beats * HEARTBEAT_S > max(GIVE_UP_S, GIVE_UP_MEDIANS * self._cadence.median_step_s):
                _end_process("A step does not end", "step_endless", step_s)
            if self._model.load_s > LOAD_GIVE_UP_S:
                _end_process("A load does not end", "load_endless", self._model.load_s)
            self.beat()
            for index, gateway in enumerate(self._gateways):
                self._check_gateway(index, gateway)
            await asyncio.sleep(HEARTBEAT_S)

    def beat(self) -> None:
        """Send one heartbeat to each gateway."""
        for index, gateway in enumerate(self._gateways):
            gateway.link.send(
                m.Heartbeat(
                    state="draining" if self.draining else "serving",
                    weights=self._model.weights,
                    slots=self._table.reports(index),
                    memory=self._memory,
                    steps=self._cadence.steps,
                    step_running_s=self._model.step_s,
                    step_median_s=self._cadence.median_step_s,
                    step_s=self._cadence.step_s.tally(),
                    batches=self._cadence.batches.tally(),
                )
            )

    def _check_gateway(self, index: int, gateway: Gateway) -> None:
        """Free the slots of a gateway that has been silent for too long: it has given up its sessions here."""
        if gateway.lost or self._clock() - gateway.last_seen < self._lost_after_s:
            return
        gateway.lost = True
        orphans = self._forget(index)
        log.warning("The gateway is silent", event_id="gateway_lost", endpoint=gateway.link.endpoint, orphans=orphans)


def _end_process(sentence: str, event_id: str, running_s: float) -> NoReturn:
    """End the process, since a thread cannot be ended.

    The gateway has moved the sessions by then, and a supervisor starts a new process.
    """
    log.critical(sentence, event_id=event_id, running_s=round(running_s, 1))
    os._exit(EXIT_STUCK)

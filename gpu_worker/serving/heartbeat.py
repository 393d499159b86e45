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

log = logs.get("gpu_worker")

HEARTBEAT_S = 0.25
MEMORY_EVERY_S = 1.0
GIVE_UP_S = 15.0
GIVE_UP_MEDIANS = 60.0
"""A step that takes longer than both `GIVE_UP_S` and this many median steps ends the process.

That is three times as long as a gateway waits before it takes the worker for stuck and moves its sessions.
"""
LOAD_GIVE_UP_S = 600.0
"""A load that takes longer ends the process."""
EXIT_STUCK = 1


class Heartbeater:
    """Sends every gateway a heartbeat each `HEARTBEAT_S`.

    Args:
        gateways: those that heartbeats go to.
        table: the slots.
        pacer: statistics of the steps.
        model: tells how long the running step or load has taken.
        device_memory: memory of the device.
        lost_after_s: a gateway that is silent for longer is lost, and its slots are freed.
        free_slots: frees a gateway's slots and returns how many there were.
        clock: monotonic seconds.

    Attributes:
        draining: whether the worker gives its sessions away.
    """

    def __init__(
        self,
        gateways: list[Gateway],
        table: SlotTable,
        pacer: StepPacer,
        model: ModelExecutor,
        device_memory: DeviceMemory,
        *,
        lost_after_s: float,
        free_slots: Callable[[int], int],
        clock: Callable[[], float],
    ) -> None:
        self.draining = False
        self._gateways = gateways
        self._table = table
        self._pacer = pacer
        self._model = model
        self._device_memory = device_memory
        self._lost_after_s = lost_after_s
        self._free_slots = free_slots
        self._clock = clock
        self._memory_report = device_memory.read()
        self._memory_due_at = clock() + MEMORY_EVERY_S

    async def measure_memory(self) -> None:
        """Read the memory once a second until cancelled.

        It is a task of its own because a read is slow on a busy machine and heartbeats must not wait for it.
        """
        while True:
            if self._clock() >= self._memory_due_at:
                self._memory_due_at = self._clock() + MEMORY_EVERY_S
                # The kernel walks the process's pages for it: about 10 ms with a model loaded.
                self._memory_report = await asyncio.to_thread(self._device_memory.read)
            await asyncio.sleep(HEARTBEAT_S)

    def measure_memory_soon(self) -> None:
        """Have the memory read at the next opportunity, because it has just changed."""
        self._memory_due_at = self._clock()

    async def run(self) -> None:
        """Send heartbeats until cancelled; end the process if a step or a load does not end."""
        heartbeats = 0  # in a row that have seen the same step
        while True:
            step_s = self._model.step_s
            # Counted in heartbeats: time in which the whole process was suspended does not count against the step.
            heartbeats = heartbeats + 1 if step_s > heartbeats * HEARTBEAT_S else 0
            if heartbeats * HEARTBEAT_S > max(GIVE_UP_S, GIVE_UP_MEDIANS * self._pacer.median_step_s):
                _end_process("A step does not end", "step_endless", step_s)
            if self._model.load_s > LOAD_GIVE_UP_S:
                _end_process("A load does not end", "load_endless", self._model.load_s)
            self.send_heartbeats()
            for index, gateway in enumerate(self._gateways):
                self._check_gateway(index, gateway)
            await asyncio.sleep(HEARTBEAT_S)

    def send_heartbeats(self) -> None:
        """Send one heartbeat to each gateway."""
        for index, gateway in enumerate(self._gateways):
            gateway.link.send(
                m.Heartbeat(
                    state="draining" if self.draining else "serving",
                    weights=self._model.weights,
                    slots=self._table.reports(index),
                    memory=self._memory_report,
                    steps=self._pacer.steps,
                    step_running_s=self._model.step_s,
                    step_median_s=self._pacer.median_step_s,
                    step_s=self._pacer.step_s.tally(),
                    batches=self._pacer.batches.tally(),
                )
            )

    def _check_gateway(self, index: int, gateway: Gateway) -> None:
        """Free the slots of a gateway that has been silent for `lost_after_s`: it has given up its sessions here."""
        if gateway.lost or self._clock() - gateway.last_seen < self._lost_after_s:
            return
        gateway.lost = True
        orphans = self._free_slots(index)
        log.warning("The gateway is silent", event_id="gateway_lost", endpoint=gateway.link.endpoint, orphans=orphans)


def _end_process(sentence: str, event_id: str, running_s: float) -> NoReturn:
    """End the process, since a thread cannot be ended.

    The gateway has moved the sessions by then, and a supervisor starts a new process.
    """
    log.critical(sentence, event_id=event_id, running_s=round(running_s, 1))
    os._exit(EXIT_STUCK)

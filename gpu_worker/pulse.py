"""The worker's heartbeats, and what it does about a gateway, a step or a load from which nothing more is heard."""

import asyncio
import os
from collections.abc import Callable
from typing import NoReturn

from gpu_worker.cadence import Cadence
from gpu_worker.gpu import Gauge
from gpu_worker.link import Gateway
from gpu_worker.model_thread import ModelThread
from gpu_worker.slots import SlotTable
from shared import logs
from shared import messages as m

log = logs.get("gpu_worker.worker")

HEARTBEAT_S = 0.25
MEMORY_EVERY_S = 1.0
GIVE_UP_S = 15.0
GIVE_UP_MEDIANS = 60.0
"""A worker ends itself when a step takes three times as long as makes a gateway take it for stuck."""
LOAD_GIVE_UP_S = 600.0
"""So it does when its weights have not been loaded after this long."""
EXIT_STUCK = 1


class Pulse:
    """Tells every gateway four times a second how this worker is.

    Args:
        gateways: who is told.
        table: the slots.
        cadence: the steps.
        model: what runs.
        gauge: memory of the device.
        lost_after_s: a gateway silent for so long has forgotten its sessions here.
        forget: frees a gateway's slots and returns how many there were.
        clock: monotonic seconds.

    Attributes:
        draining: whether the worker gives its sessions away.
    """

    def __init__(
        self,
        gateways: list[Gateway],
        table: SlotTable,
        cadence: Cadence,
        model: ModelThread,
        gauge: Gauge,
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
        self._weigh_at = clock() + MEMORY_EVERY_S

    async def weigh(self) -> None:
        """Read the memory once a second, for ever. On a crowded machine that takes long: no heartbeat waits for it."""
        while True:
            if self._clock() >= self._weigh_at:
                self._weigh_at = self._clock() + MEMORY_EVERY_S
                # The kernel walks the process's pages for it: about 10 ms with a model loaded.
                self._memory = await asyncio.to_thread(self._gauge.read)
            await asyncio.sleep(HEARTBEAT_S)

    def weigh_soon(self) -> None:
        """The memory has just changed."""
        self._weigh_at = self._clock()

    async def beat_for_ever(self) -> None:
        """Tell the gateways, and see to it that nothing here lasts for ever."""
        beats = 0  # so many in a row have seen the same step
        while True:
            step_s = self._model.step_s
            # Counted in beats, so that time in which the whole process did not run is not the step's.
            beats = beats + 1 if step_s > beats * HEARTBEAT_S else 0
            if beats * HEARTBEAT_S > max(GIVE_UP_S, GIVE_UP_MEDIANS * self._cadence.median_step_s):
                _give_up("A step does not end", "step_endless", step_s)
            if self._model.load_s > LOAD_GIVE_UP_S:
                _give_up("A load does not end", "load_endless", self._model.load_s)
            self.beat()
            for index, gateway in enumerate(self._gateways):
                self._watch(index, gateway)
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

    def _watch(self, index: int, gateway: Gateway) -> None:
        """A gateway that has been silent for long has forgotten its sessions here: free their slots."""
        if gateway.lost or self._clock() - gateway.heard < self._lost_after_s:
            return
        gateway.lost = True
        orphans = self._forget(index)
        log.warning("The gateway is silent", event_id="gateway_lost", endpoint=gateway.link.endpoint, orphans=orphans)


def _give_up(sentence: str, event_id: str, running_s: float) -> NoReturn:
    """End the process. The gateway has long moved the sessions; a thread cannot be ended, and a new process serves."""
    log.critical(sentence, event_id=event_id, running_s=round(running_s, 1))
    os._exit(EXIT_STUCK)

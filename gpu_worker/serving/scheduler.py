"""Run the model (shell): load and unload weights, open streams, step over them, send their results."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from gpu_worker.recognition.step import DecodeCall, ModelCall, Step
from gpu_worker.recognizer import Recognizer, VadResult, WindowResult
from gpu_worker.serving.heartbeat import Heartbeater
from gpu_worker.serving.model_executor import ModelExecutor
from gpu_worker.serving.pacing import StepPacer
from gpu_worker.serving.request_handler import RequestHandler
from gpu_worker.serving.slots import Slot, SlotTable
from shared import logs
from shared import messages as m
from shared.messages import SAMPLE_RATE

log = logs.get("gpu_worker")

Answer = VadResult | WindowResult | Exception

STOP_AFTER_FAILURES = 5
"""Failures in a row after which a worker ends itself: some errors of a device last as long as the process."""


class StepScheduler:
    """Runs steps over the open streams; the only user of the model, one call at a time.

    Args:
        recognizer: the model.
        model: the thread that it runs on.
        table: the slots.
        pacer: how often a session is decoded.
        handler: the requests of the gateways, and the way to answer them.
        heartbeater: reads the memory anew when the weights were loaded or unloaded.
        batch: the most windows of one step.
        unload_s: how long after the last session the weights are unloaded; never if negative.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        model: ModelExecutor,
        table: SlotTable,
        *,
        pacer: StepPacer,
        handler: RequestHandler,
        heartbeater: Heartbeater,
        batch: int,
        unload_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._recognizer = recognizer
        self._model = model
        self._table = table
        self._pacer = pacer
        self._handler = handler
        self._heartbeater = heartbeater
        self._batch = batch
        self._unload_s = unload_s
        self._clock = clock
        self._failures = 0
        self._stop = asyncio.Event()
        self._idle_since: float | None = clock()

    async def run(self, stop: asyncio.Event) -> None:
        """Step until cancelled; set ``stop`` when every step fails."""
        self._stop = stop
        while True:
            self._handler.wake.clear()
            await self._close_and_unload()
            if self._table.wants_weights:
                await self._load_and_open()
            if await self._step():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._handler.wake.wait(), self._timeout_s())

    def _timeout_s(self) -> float | None:
        if self._model.weights != "device" or len(self._table) or self._unload_s < 0 or self._idle_since is None:
            return None
        return max(0.0, self._idle_since + self._unload_s - self._clock()) + 0.01

    async def _close_and_unload(self) -> None:
        """Close streams in the model; unload the weights when they have not been needed for `unload_s`."""
        while self._handler.closing:
            key = self._handler.closing.pop()
            await self._model.run(partial(self._recognizer.close, key))
        if len(self._table):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or self._clock()
        if self._model.weights == "device" and 0 <= self._unload_s <= self._clock() - self._idle_since:
            await self._model.unload()
            self._heartbeater.measure_memory_soon()

    async def _load_and_open(self) -> None:
        """Load the weights if they are not on the device, open the waiting streams, and answer their gateways."""
        if self._model.weights != "device":
            await self._model.load(self._heartbeater.send_heartbeats)
            self._heartbeater.measure_memory_soon()
        self._handler.announce_prepared()
        for key in self._table.waiting():
            await self._model.run(partial(self._recognizer.open, key))
            slot = self._table.get(key)
            if slot is not None:
                slot.opened = True
                if not slot.announced:
                    self._handler.announce_opened(slot)

    async def _step(self) -> bool:
        """Run one step over the open streams; return False if there was nothing to do."""
        step = Step(self._table.streams, period=int(self._pacer.period_s * SAMPLE_RATE), most=self._batch)
        worked = False
        while call := step.next_call():
            worked = True
            began = self._clock()
            for key, answer in zip(call.keys, await self._answers(call), strict=True):
                self._deliver(step, key, answer)
            if isinstance(call, DecodeCall):
                self._pacer.stepped(self._clock() - began, len(call.requests), len(self._table))
        self._send_results()
        return worked

    async def _answers(self, call: ModelCall) -> Sequence[Answer]:
        """Put a call to the model; if it raises as a whole, that is the answer to every request in it."""
        try:
            return await self._model.run(partial(call.run, self._recognizer))
        except Exception as error:  # the top of a shell's loop: these sessions end, the worker goes on
            log.exception("a step failed", event_id="step_failed", streams=len(call.requests))
            return [error] * len(call.requests)

    def _deliver(self, step: Step, key: int, answer: Answer) -> None:
        """Give a stream its answer; an error ends that stream alone."""
        slot = self._table.get(key)
        if slot is None:  # closed while the model worked
            return
        if isinstance(answer, Exception):
            self._stream_failed(slot, answer)
            return
        if isinstance(answer, WindowResult):
            self._failures = 0
        try:
            step.deliver(key, answer)
        except Exception as error:  # noqa: BLE001 - the top of a shell's loop: this session ends, the others go on
            self._stream_failed(slot, error)

    def _stream_failed(self, slot: Slot, error: Exception) -> None:
        self._failures += 1
        if self._failures == STOP_AFTER_FAILURES:
            log.critical("Every step fails", event_id="steps_fail", failures=self._failures)
            self._stop.set()
        log.error("a stream failed", event_id="stream_failed", connection=slot.session, exc_info=error)
        self._handler.fail(slot.gateway, slot.stream.lease, f"{type(error).__name__}: {error}")

    def _send_results(self) -> None:
        for stream in self._table.streams():
            slot = self._table.get(stream.key)
            for message in stream.take():
                sent = slot is not None and self._handler.send(slot, message)
                if not sent or isinstance(message, m.Finished):
                    # An unsent message is lost: the gateway misses the stream in heartbeats and resumes it.
                    self._handler.drop(stream.key)
                    break

"""The worker's loop: links → streams → one step → results → heartbeat.

The loop never runs the model: loads and steps run on one other thread, one at a time, so that heartbeats go on and
tell how long the running step has taken.
"""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from gpu_worker.cadence import Cadence
from gpu_worker.gpu import Gauge
from gpu_worker.link import Context, Link
from gpu_worker.model_thread import ModelThread
from gpu_worker.policy import PolicySettings
from gpu_worker.pulse import HEARTBEAT_S, Gateway, Pulse
from gpu_worker.recognizer import ListenResult, Recognizer, WindowResult
from gpu_worker.slots import Slot, SlotTable
from shared import logs
from shared import messages as m
from shared.settings import WorkerSettings

log = logs.get("gpu_worker.worker")

Result = TypeVar("Result")

AILING = 5
"""After so many failures in a row without a success a worker ends itself: some errors of a device never pass."""
BATCH_CPU = 8
BATCH_CUDA = 64


class Worker:
    """One life of a worker process.

    Args:
        settings: see `WorkerSettings`.
        recognizer: the model.
        gauge: memory of its device.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        recognizer: Recognizer,
        gauge: Gauge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._recognizer = recognizer
        self._gauge = gauge
        self._clock = clock
        self._boot = uuid.uuid4().hex[:12]
        self._table = SlotTable(settings.slots_per_gpu, PolicySettings())
        self._cadence = Cadence(settings.step_min_s, settings.step_max_s)
        self._model = ModelThread(recognizer, clock)
        self._wake = asyncio.Event()
        self._gateways: list[Gateway] = []
        self._closing: list[int] = []
        self._failures = 0
        self._stop = asyncio.Event()
        self._idle_since: float | None = clock()
        self._pulse = Pulse(
            self._gateways,
            self._table,
            self._cadence,
            self._model,
            gauge,
            lost_after_s=settings.gateway_lost_s,
            forget=self._forget,
            clock=clock,
        )
        self._batch = BATCH_CUDA if recognizer.info.device == "cuda" else BATCH_CPU

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, hand the sessions over, then say goodbye."""
        self._stop = stop
        context = Context()
        identity = f"{self._settings.name()}.{self._boot}"
        links = [
            Link(context, endpoint, identity, self._settings.queue_messages) for endpoint in self._settings.endpoints()
        ]
        self._gateways += [Gateway(link, self._clock()) for link in links]
        tasks = [asyncio.create_task(self._receive(index)) for index in range(len(links))]
        own = (self._steps(), self._pulse.beat_for_ever(), self._pulse.weigh())
        tasks += [asyncio.create_task(each) for each in own]
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
        """Give the gateways time to move the sessions away; what is left then goes on from the journals."""
        self._pulse.draining = True
        log.info("Worker drains", event_id="worker_draining", sessions=len(self._table))
        until = self._clock() + self._settings.drain_s
        told = self._clock() + 2 * HEARTBEAT_S  # at least one heartbeat has said so
        while self._clock() < told or (len(self._table) and self._clock() < until):  # noqa: ASYNC110 - it is time that counts
            await asyncio.sleep(HEARTBEAT_S / 5)
        log.info("Worker stops", event_id="worker_stopped", sessions_left=len(self._table))

    # --- messages -------------------------------------------------------------------------------------------

    async def _receive(self, index: int) -> None:
        gateway = self._gateways[index]
        gateway.link.send(self._introduction())
        while True:
            message = await gateway.link.receive()
            gateway.heard, gateway.lost = self._clock(), False
            try:
                self._handle(index, message)
            except ValueError as error:
                lease = getattr(message, "lease", None)
                log.warning("a message was refused", event_id="message_refused", lease=lease, reason=str(error))
                if lease is not None:
                    self._fail(index, lease, str(error))
            self._wake.set()

    def _handle(self, index: int, message: object) -> None:
        link = self._gateways[index].link
        match message:
            case m.Welcome():
                pass
            case m.Identify():
                self._forget(index)
                link.send(self._introduction())
            case m.Open(lease):
                if self._table.find(index, lease) is None:
                    self._take_in(index, message)
            case m.Prepare(lease):
                self._keep_slot(index, lease)
            case m.Audio(lease) | m.Finalize(lease) | m.Finish(lease) | m.Close(lease):
                if found := self._table.find(index, lease):
                    self._about_stream(*found, message)
                elif isinstance(message, m.Close):
                    self._table.cancel(index, lease)
            case _:
                log.warning(
                    "a gateway sent what only workers send", event_id="odd_message", kind=type(message).__name__
                )

    def _take_in(self, index: int, message: m.Open) -> None:
        """Give a session a slot; with the weights on the device it is ready, whatever step runs now for the others."""
        key = self._table.open(index, message, self._clock())
        if key is None:
            self._gateways[index].link.send(m.Full(message.lease))
        elif self._model.weights == "device" and (slot := self._table.get(key)):
            self._tell_opened(slot)

    def _keep_slot(self, index: int, lease: int) -> None:
        if not self._table.reserve(index, lease, self._clock()):
            self._gateways[index].link.send(m.Full(lease))
        elif self._model.weights == "device":
            self._tell_prepared()

    def _tell_prepared(self) -> None:
        for index, lease, kept in self._table.untold():
            kept.told = True
            self._gateways[index].link.send(m.Opened(lease, (self._clock() - kept.asked) * 1000))

    def _tell_opened(self, slot: Slot) -> None:
        slot.told = True
        load_ms = (self._clock() - slot.asked) * 1000
        self._gateways[slot.gateway].link.send(m.Opened(slot.stream.lease, load_ms))

    def _about_stream(self, key: int, slot: Slot, message: m.Audio | m.Finalize | m.Finish | m.Close) -> None:
        match message:
            case m.Audio(_, start, pcm):
                slot.stream.receive(start, pcm)
            case m.Finalize(_, at):
                slot.stream.finalize(at)
            case m.Finish(_, at):
                slot.stream.finish(at)
            case m.Close():
                self._drop(key)

    def _introduction(self) -> m.Register:
        info = self._recognizer.info
        return m.Register(
            protocol=m.PROTOCOL,
            worker=self._settings.name(),
            boot=self._boot,
            gpu_id=self._settings.gpu_id,
            gpu_uuid=self._gauge.uuid,
            slots=self._settings.slots_per_gpu,
            device=info.device,
            device_name=info.device_name,
            model=info.name,
            languages=info.languages,
            pid=os.getpid(),
        )

    def _fail(self, index: int, lease: int, reason: str) -> None:
        if found := self._table.find(index, lease):
            self._drop(found[0])
            self._gateways[index].link.send(m.StreamFailed(lease, reason[:500]))

    def _forget(self, index: int) -> int:
        """Free everything that a gateway has leased here; return how many streams that were."""
        keys = self._table.of(index)
        for key in keys:
            self._drop(key)
        self._table.cancel(index)
        return len(keys)

    def _drop(self, key: int) -> None:
        self._table.close(key)
        self._closing.append(key)
        self._wake.set()

    # --- steps ----------------------------------------------------------------------------------------------

    async def _steps(self) -> None:
        while True:
            self._wake.clear()
            await self._tidy()
            if self._table.wants_weights:
                await self._open()
            if await self._step():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._patience_s())

    def _patience_s(self) -> float | None:
        unload_s = self._settings.model_idle_unload_s
        if self._model.weights != "device" or len(self._table) or unload_s < 0 or self._idle_since is None:
            return None
        return max(0.0, self._idle_since + unload_s - self._clock()) + 0.01

    async def _tidy(self) -> None:
        """Forget closed streams; release the weights when no session has needed them for long enough."""
        while self._closing:
            key = self._closing.pop()
            await self._model.run(partial(self._recognizer.close, key))
        if len(self._table):
            self._idle_since = None
            return
        self._idle_since = self._idle_since or self._clock()
        unload_s = self._settings.model_idle_unload_s
        if self._model.weights == "device" and 0 <= unload_s <= self._clock() - self._idle_since:
            await self._model.unload()
            self._pulse.weigh_soon()

    async def _open(self) -> None:
        if self._model.weights != "device":
            await self._model.load(self._pulse.beat)
            self._pulse.weigh_soon()
        self._tell_prepared()
        for key in self._table.waiting():
            await self._model.run(partial(self._recognizer.open, key))
            slot = self._table.get(key)
            if slot is not None:
                slot.opened = True
                if not slot.told:
                    self._tell_opened(slot)

    async def _step(self) -> bool:
        """Hear and decode what is due; say whether there was anything."""
        listens = self._table.listens()
        if listens:
            heard = await self._asked(partial(self._recognizer.listen, listens), len(listens))
            for listen, answer in zip(listens, heard, strict=True):
                self._answer(listen.key, answer)
        windows = self._table.windows(self._cadence.period_s, self._batch)
        if windows:
            began = self._clock()
            decoded = await self._asked(partial(self._recognizer.recognize, windows), len(windows))
            for window, result in zip(windows, decoded, strict=True):
                self._answer(window.key, result)
            self._cadence.stepped(self._clock() - began, len(windows), len(self._table))
        self._send_results()
        return bool(listens or windows)

    async def _asked(self, work: Callable[[], list[Result | Exception]], count: int) -> list[Result | Exception]:
        """Run a part of a step; if it raises as a whole, that is the answer of all ``count`` streams in it."""
        try:
            return await self._model.run(work)
        except Exception as error:  # the top of a shell's loop: these sessions end, the worker goes on
            log.exception("a step failed", event_id="step_failed", streams=count)
            return [error] * count

    def _answer(self, key: int, answer: ListenResult | WindowResult | Exception) -> None:
        """Give a stream its answer; what raises ends that stream alone."""
        slot = self._table.get(key)
        if slot is None:
            return
        try:
            match answer:
                case ListenResult():
                    slot.stream.heard(answer)
                case WindowResult():
                    self._failures = 0
                    slot.stream.decoded(answer)
                case Exception():
                    self._stream_failed(slot, answer)
        except Exception as error:  # noqa: BLE001 - the top of a shell's loop: this session ends, the others go on
            self._stream_failed(slot, error)

    def _stream_failed(self, slot: Slot, error: Exception) -> None:
        self._failures += 1
        if self._failures == AILING:
            log.critical("Every step fails", event_id="steps_fail", failures=self._failures)
            self._stop.set()
        log.error("a stream failed", event_id="stream_failed", connection=slot.session, exc_info=error)
        self._fail(slot.gateway, slot.stream.lease, f"{type(error).__name__}: {error}")

    def _send_results(self) -> None:
        for stream in self._table.streams():
            slot = self._table.get(stream.key)
            for message in stream.take():
                sent = slot is not None and self._gateways[slot.gateway].link.send(message)
                if not sent or isinstance(message, m.Finished):
                    # What is not sent is lost; the gateway misses the stream in our reports and goes on elsewhere.
                    self._drop(stream.key)
                    break

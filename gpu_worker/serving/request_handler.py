"""Carry out the gateways' requests for their sessions, and answer them (shell)."""

import asyncio
from collections.abc import Callable

from gpu_worker.serving.gateway_link import Gateway
from gpu_worker.serving.model_executor import ModelExecutor
from gpu_worker.serving.slots import Slot, SlotTable
from shared import logs
from shared import messages as m

log = logs.get("gpu_worker")


class RequestHandler:
    """Applies every gateway's messages to the slots, and answers them.

    Args:
        gateways: those that this worker serves.
        table: the slots.
        model: tells where the weights are.
        introduction: the first message to each gateway.
        clock: monotonic seconds.

    Attributes:
        wake: set when there may be work for the model.
        closing: keys of closed streams that are still open in the model.
    """

    def __init__(
        self,
        gateways: list[Gateway],
        table: SlotTable,
        model: ModelExecutor,
        introduction: m.Register,
        clock: Callable[[], float],
    ) -> None:
        self.wake = asyncio.Event()
        self.closing: list[int] = []
        self._gateways = gateways
        self._table = table
        self._model = model
        self._introduction = introduction
        self._clock = clock

    # --- requests -------------------------------------------------------------------------------------------

    async def receive(self, index: int) -> None:
        """Introduce this worker to a gateway, then handle its messages until cancelled."""
        gateway = self._gateways[index]
        gateway.link.send(self._introduction)
        while True:
            message = await gateway.link.receive()
            gateway.last_seen, gateway.lost = self._clock(), False
            try:
                self._handle(index, message)
            except ValueError as error:
                lease = getattr(message, "lease", None)
                log.warning("a message was refused", event_id="message_refused", lease=lease, reason=str(error))
                if lease is not None:
                    self.fail(index, lease, str(error))
            self.wake.set()

    def _handle(self, index: int, message: object) -> None:
        match message:
            case m.Welcome():
                pass
            case m.Identify():
                self.free_slots(index)
                self._gateways[index].link.send(self._introduction)
            case m.Open(lease):
                if self._table.find(index, lease) is None:
                    self._open_stream(index, message)
            case m.Prepare():
                self._reserve_slot(index, message)
            case m.Audio(lease) | m.Finalize(lease) | m.Finish(lease) | m.Close(lease):
                if found := self._table.find(index, lease):
                    self._forward(*found, message)
                elif isinstance(message, m.Close):
                    self._table.cancel(index, lease)
            case _:
                log.warning(
                    "a gateway sent what only workers send", event_id="odd_message", kind=type(message).__name__
                )

    def _open_stream(self, index: int, message: m.Open) -> None:
        """Give a session a slot; with the weights on the device it is ready at once, even while a step runs."""
        key = self._table.open(index, message, self._clock())
        if key is None:
            self._gateways[index].link.send(m.NoFreeSlot(message.lease))
        elif self._model.weights == "device" and (slot := self._table.get(key)):
            self.announce_opened(slot)

    def _reserve_slot(self, index: int, message: m.Prepare) -> None:
        if not self._table.reserve(index, message, self._clock()):
            self._gateways[index].link.send(m.NoFreeSlot(message.lease))
        elif self._model.weights == "device":
            self.announce_prepared()

    def _forward(self, key: int, slot: Slot, message: m.Audio | m.Finalize | m.Finish | m.Close) -> None:
        match message:
            case m.Audio(_, start, pcm):
                slot.stream.receive(start, pcm)
            case m.Finalize(_, at, paused):
                slot.stream.finalize(at, paused=paused)
            case m.Finish(_, at):
                slot.stream.finish(at)
            case m.Close():
                self.drop(key)

    # --- answers --------------------------------------------------------------------------------------------

    def send(self, slot: Slot, message: m.Hypothesis | m.Finished) -> bool:
        """Send a stream's message to its gateway; return False if it cannot be sent now."""
        return self._gateways[slot.gateway].link.send(message)

    def announce_prepared(self) -> None:
        """Tell each gateway, once, that its reserved slots are ready."""
        for index, lease, reservation in self._table.unannounced():
            reservation.announced = True
            self._gateways[index].link.send(m.Opened(lease, (self._clock() - reservation.requested_at) * 1000))

    def announce_opened(self, slot: Slot) -> None:
        """Tell a gateway that its session is ready."""
        slot.announced = True
        load_ms = (self._clock() - slot.requested_at) * 1000
        self._gateways[slot.gateway].link.send(m.Opened(slot.stream.lease, load_ms))

    def fail(self, index: int, lease: int, reason: str) -> None:
        """End a stream and tell its gateway the reason."""
        if found := self._table.find(index, lease):
            self.drop(found[0])
            self._gateways[index].link.send(m.StreamFailed(lease, reason[:500]))

    def free_slots(self, index: int) -> int:
        """Free all slots of a gateway; return the number of its streams."""
        keys = self._table.of(index)
        for key in keys:
            self.drop(key)
        self._table.cancel(index)
        return len(keys)

    def drop(self, key: int) -> None:
        """Free a stream's slot, and have the model close the stream."""
        self._table.close(key)
        self.closing.append(key)
        self.wake.set()

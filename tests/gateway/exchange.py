"""A whole exchange in memory: the real switchboard, real streams in scripted workers, clients, and one clock.

Every message between gateway and workers goes through the real codec. Time passes only when a test says so.
"""

import itertools
import logging
from collections import deque

from gateway.monitoring.history_observer import HistoryObserver
from gateway.monitoring.log_observer import LogObserver
from gateway.monitoring.statistics import Statistics
from gateway.placement.observer import Observers
from gateway.placement.workers import WorkerRegistry
from gateway.protocols.asr_events import EventsProtocol
from gateway.protocols.asr_full import FullProtocol
from gateway.session_manager import SessionManager
from gateway.sessions.client_session import ClientSession, SessionOptions
from gateway.sessions.commands import CloseConnection
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.step import Step
from gpu_worker.serving.slots import SlotTable
from shared import logs, wire
from shared import messages as m
from tests.gateway.builders import bounds, heartbeat, register
from tests.scripted_recognizer import ScriptedRecognizer

PERIOD = 8_000
OPEN_S = 0.25
"""How long a worker takes to open a stream."""


class Journalist(logging.Handler):
    """Keeps every event that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict] = []

    def emit(self, record) -> None:
        """Take one record."""
        if isinstance(record.msg, dict):
            self.events.append(record.msg)

    def of(self, event_id) -> list[dict]:
        """Return the events of one kind."""
        return [event for event in self.events if event.get("event_id") == event_id]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Link:
    """The gateway's socket: sends reach a worker's inbox; a worker that has died is noticed by its silence alone."""

    def __init__(self) -> None:
        self.workers: dict[bytes, ScriptedWorker] = {}
        self.unreachable: set[bytes] = set()

    def send(self, identity, message) -> bool:
        """Send through the codec."""
        if identity in self.unreachable or identity not in self.workers:
            return False
        self.workers[identity].inbox.append(wire.encode(message))
        return True


class ScriptedWorker:
    """One life of a worker: a real slot table with real streams, stepped by hand."""

    def __init__(self, gpu_id, boot, clock, slots=2) -> None:
        self.facts = register(gpu_id, boot=boot, slots=slots)
        self.identity = f"gpu{gpu_id}.{boot}".encode()
        self.inbox: deque[list[bytes]] = deque()
        self.outbox: deque[list[bytes]] = deque()
        self.table = SlotTable(slots, PolicySettings())
        self.alive = True
        self.frozen = False
        self.draining = False
        self.refusing = False
        self.opening = True  # whether it comes to an end with opening what waits
        self.weights = "device"
        self._clock = clock
        self._model = ScriptedRecognizer()
        self.send(self.facts)

    def send(self, message) -> None:
        """Queue a message for the gateway."""
        self.outbox.append(wire.encode(message))

    def work(self, steps=1) -> None:
        """Take all messages, open what waits, and do some steps."""
        if not self.alive or self.frozen:
            return
        while self.inbox:
            message = wire.decode(self.inbox.popleft())
            try:
                self._take(message)
            except ValueError as error:
                self._fail(message.lease, str(error))
        for _, lease, reservation in self.table.unannounced() if self.opening else ():
            reservation.announced = True
            self.send(m.Opened(lease, 0.0))
        for key in self.table.waiting() if self.opening else ():
            self.table.get(key).opened = True
            self.send(m.Opened(self.table.get(key).stream.lease, OPEN_S * 1000))
        for _ in range(steps):
            if not self._step():
                break
        self.table.check()

    def beat(self) -> None:
        """Send a heartbeat."""
        if self.alive and not self.frozen:
            state = "draining" if self.draining else "serving"
            self.send(heartbeat(*self.table.reports(0), state=state, weights=self.weights))

    def _take(self, message) -> None:
        match message:
            case m.Identify():
                for key in self.table.of(0):
                    self.table.close(key)
                self.table.cancel(0)
                self.send(self.facts)
            case m.Open(lease) if self.refusing or self.table.open(0, message, self._clock()) is None:
                self.table.cancel(0, lease)
                self.send(m.NoFreeSlot(lease))
            case m.Prepare(lease) if self.refusing or not self.table.reserve(0, message, self._clock()):
                self.send(m.NoFreeSlot(lease))
            case m.Audio() | m.Finalize() | m.Finish() | m.Close():
                self._about(message, self.table.find(0, message.lease))

    def _about(self, message, found) -> None:
        if found is None:
            if isinstance(message, m.Close):
                self.table.cancel(0, message.lease)
            return
        key, slot = found
        match message:
            case m.Audio(_, start, pcm):
                slot.stream.receive(start, pcm)
            case m.Finalize(_, at):
                slot.stream.finalize(at)
            case m.Finish(_, at):
                slot.stream.finish(at)
            case _:
                self.table.close(key)

    def _step(self) -> bool:
        step = Step(self.table.streams, period=PERIOD, most=8)
        worked = False
        while call := step.next_call():
            worked = True
            for key, answer in zip(call.keys, call.run(self._model), strict=True):
                if isinstance(answer, Exception):
                    self._fail(self.table.get(key).stream.lease, str(answer))
                else:
                    step.deliver(key, answer)
        for stream in self.table.streams():
            for message in stream.take():
                self.send(message)
                if isinstance(message, m.Finished):
                    self.table.close(stream.key)
        return worked

    def _fail(self, lease, reason) -> None:
        found = self.table.find(0, lease)
        if found:
            self.table.close(found[0])
            self.send(m.StreamFailed(lease, reason))


class Client:
    """One person: says things, sends them while there is room, and may lose the network."""

    def __init__(self, exchange, name, mode="events", language=None, **limits) -> None:
        self.exchange = exchange
        protocol = EventsProtocol if mode == "events" else FullProtocol
        self.client_session = ClientSession(
            name,
            SessionOptions(language),
            protocol,
            api_token=None,
            requested_at=exchange.clock.now,
            limits=bounds(**limits),
        )
        self.session = self.client_session.session
        self.said = bytearray()
        self.sent = 0
        self.ending = False
        self.hangup: CloseConnection | None = None
        self.messages: list[str] = []

    def join(self, accept_ms=0.0) -> "Client":
        """Connect for the first time."""
        self.client_session.accept_ms = accept_ms
        self.client_session.connection = self
        self.client_session.greet(None, resumed=False)
        self.exchange.manager.add(self.client_session)
        return self

    @property
    def here(self) -> bool:
        """Tell whether the client has a socket."""
        return self.client_session.connection is self

    def notify_writer(self) -> None:
        """Send what has found no room before."""

    def close_after_flush(self, hangup) -> None:
        """Note that the socket will be closed."""
        self.hangup = self.hangup or hangup

    def perform(self, actions) -> None:
        """Have the session's wishes done."""
        self.exchange.manager.execute(self.client_session, actions)

    def say(self, pcm, cut=0) -> None:
        """Say something; ``cut`` is where the message is cut in two."""
        self.said += pcm
        self.pump(cut)

    def pump(self, cut=0) -> None:
        """Send what has been said and not sent, as far as there is room, then the end."""
        if not self.here or self.client_session.ended:
            return
        data = bytes(self.said[self.sent : self.sent + self.session.capacity_bytes])
        for piece in (data[:cut], data[cut:]):
            if piece:
                self.perform(self.session.on_audio(piece, self.exchange.clock.now))
        self.sent += len(data)
        if self.ending and self.sent == len(self.said):
            self.perform(self.session.on_end_of_audio(self.exchange.clock.now))

    def end(self) -> None:
        """Say that this was all."""
        self.ending = True
        self.pump()

    def lose_network(self) -> None:
        """Lose the socket without a word."""
        self.exchange.manager.detach(self.client_session, for_good=False)

    def leave(self) -> None:
        """Close the socket."""
        self.exchange.manager.detach(self.client_session, for_good=True)

    def come_back(self, last_seq=0) -> bool:
        """Resume with the token, if the session is still known, and send on from what has arrived."""
        manager, now = self.exchange.manager, self.exchange.clock.now
        if manager.find(self.client_session.resume_token, None) is not self.client_session:
            return False
        self.client_session.connection = self
        self.client_session.replay(last_seq, None)
        self.perform(self.session.farewell() if self.client_session.ended else self.session.on_resumed(now))
        self.sent = self.session.received * 2
        self.pump()
        return True

    def read(self, most=10_000) -> list[str]:
        """Return what can be read now; the rate bound is none here."""
        found = []
        while (
            len(found) < most
            and (text := self.client_session.send_queue.pop(1e9 + len(self.messages) * 1e6)) is not None
        ):
            found.append(text)
            self.messages.append(text)
        return found


class Exchange:
    """A gateway, its workers and clients."""

    def __init__(self, workers=2, slots=2, *, lost_after_s=2.0, observers=None) -> None:
        self.clock = Clock()
        self.link = Link()
        self.statistics, self.history = Statistics(), HistoryObserver(self.clock)
        self.observers = [LogObserver(), self.statistics, self.history] if observers is None else observers
        self.registry = WorkerRegistry(range(workers), lost_after_s=lost_after_s)
        self.manager = SessionManager("gateway", self.link, self.registry, Observers(self.observers), self.clock)
        self.workers: dict[int, ScriptedWorker] = {}
        self.slots = slots
        self.clients: list[Client] = []
        self._boots = itertools.count()
        self._names = itertools.count()
        logs.configure(log_format="json", level="debug")
        self.log = Journalist()
        logging.getLogger().handlers = [self.log]

    def boot(self, gpu_id, **changes) -> ScriptedWorker:
        """Begin a new life of a worker; its last one, if it still lived, ends."""
        if gpu_id in self.workers:
            self.workers[gpu_id].alive = False
        worker = ScriptedWorker(gpu_id, f"b{next(self._boots)}", self.clock, self.slots)
        worker.facts = register(gpu_id, boot=worker.facts.boot, slots=self.slots, **changes)
        worker.outbox.clear()
        worker.send(worker.facts)
        self.workers[gpu_id] = self.link.workers[worker.identity] = worker
        return worker

    def boot_all(self) -> "Exchange":
        """Boot every expected worker and hear of it."""
        for worker in self.registry.all():
            self.hear(self.boot(worker.gpu_id))
        return self

    def client(self, mode="events", **limits) -> Client:
        """Make a client that has not connected yet."""
        client = Client(self, f"c{next(self._names)}", mode, **limits)
        self.clients.append(client)
        return client

    def hear(self, worker, most=10_000) -> None:
        """Hand the gateway a worker's messages, oldest first."""
        for _ in range(min(most, len(worker.outbox))):
            self.manager.on_worker_message(worker.identity, wire.decode(worker.outbox.popleft()))

    def run(self, rounds=1, step_s=0.3) -> None:
        """Let everybody work, beat, be heard, and time pass."""
        for _ in range(rounds):
            for worker in list(self.workers.values()):
                worker.work(steps=3)
                worker.beat()
                self.hear(worker)
            self.clock.now += step_s
            self.manager.on_tick(self.clock.now)
            for client in self.clients:
                client.pump()
            self.check()

    def check(self) -> None:
        """Assert what must hold whatever has happened."""
        manager, placement = self.manager, self.manager.coordinator.leases
        placement.check()
        for client in self.clients:
            session = client.session
            session.check()
            for lease in (session.lease, session.migration_lease):
                assert lease is None or placement.find(lease)[0] is client.client_session
            assert session.checkpoint.held_samples <= client.client_session.limits.journal_s * m.SAMPLE_RATE
            if session.state.value == "waiting":
                assert session.migration_lease is not None or client.client_session in placement.waiting, (
                    "no way forward"
                )
            known = session.id in manager._sessions
            assert known or session.state.value == "ended"
        for worker in self.workers.values():
            worker.table.check()

    def check_log(self) -> None:
        """Assert that every allocation was released once, by the same connection on the same GPU."""
        taken = [(e["connection"], e["gpu_id"], e["lease"]) for e in self.log.of("gpu_allocated")]
        freed = [(e["connection"], e["gpu_id"], e["lease"]) for e in self.log.of("gpu_released")]
        assert sorted(taken) == sorted(freed)
        assert len({lease for _, _, lease in taken}) == len(taken)

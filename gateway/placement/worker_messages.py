"""Hands what workers say to the sessions that it is about (shell)."""

from collections.abc import Callable
from typing import assert_never

from gateway.placement import events
from gateway.placement.coordinator import Coordinator
from gateway.placement.observer import Observers
from gateway.placement.worker_handle import WorkerHandle, WorkerSocket, WorkerState
from gateway.placement.workers import WorkerRegistry
from gateway.sessions.client_session import ClientSession
from gateway.sessions.state import SETTLED
from shared import logs
from shared import messages as m

log = logs.get("gateway")

FromLease = m.Opened | m.NoFreeSlot | m.Hypothesis | m.Finished | m.StreamFailed
"""Messages that are about one lease."""


class WorkerMessages:
    """Takes the messages of all workers.

    Args:
        coordinator: executes what the messages lead to, and has the leases.
        name: this boot of the gateway, as workers know it.
        link: the socket to the workers.
        workers: all workers.
        observers: get an event for everything that happens.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        name: str,
        link: WorkerSocket,
        workers: WorkerRegistry,
        observers: Observers,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._link = link
        self._workers = workers
        self._coordinator = coordinator
        self._leases = coordinator.leases
        self._observers = observers
        self._clock = clock

    def on_message(self, identity: bytes, message: object) -> None:
        """Take one message from the worker with this address."""
        match message:
            case m.Register():
                self._on_register(identity, message)
            case m.Heartbeat():
                self._on_heartbeat(identity, message)
            case m.Goodbye(reason):
                self._coordinator.revoke_worker(self._workers.mark_lost(identity, reason, died=False))
            case m.Opened() | m.NoFreeSlot() | m.Hypothesis() | m.Finished() | m.StreamFailed():
                found = self._leases.find(message.lease)
                # A message about a lease that was released or revoked meanwhile is passed over.
                if found is not None and found[1].identity == identity:
                    self._on_lease_message(*found, message)
            case _:
                log.warning("a worker sent an odd message", event_id="odd_message", kind=type(message).__name__)

    def _on_register(self, identity: bytes, registration: m.Register) -> None:
        try:
            before = self._workers.register(identity, registration, self._clock())
        except ValueError as error:
            self._observers.observe(events.WorkerRefused(registration.worker, str(error)))
            return
        self._link.send(identity, m.Welcome(self._name))
        self._observers.observe(events.WorkerRegistered(registration))
        self._coordinator.retract_blame(registration.worker, identity)
        self._coordinator.revoke_worker(before)
        self._coordinator.assign_waiting()

    def _on_heartbeat(self, identity: bytes, heartbeat: m.Heartbeat) -> None:
        before = self._workers.by_identity(identity)
        was_draining = before is not None and before.state is WorkerState.DRAINING
        known = self._workers.heartbeat(identity, heartbeat, self._clock())
        # `Identify` would make a lost worker register and get sessions again: too early while it is still stuck.
        welcome = known or self._workers.still_failing(identity, heartbeat)
        self._link.send(identity, m.Welcome(self._name) if welcome else m.Identify(self._name))
        worker = self._workers.by_identity(identity)
        if worker is None:
            return
        self._observers.observe(events.HeartbeatReceived(worker.name, worker.boot, worker.gpu_id, heartbeat))
        if worker.state is WorkerState.DRAINING and not was_draining:
            self._observers.observe(events.WorkerDraining(worker.gpu_id))
        self._compare_leases(worker, held={slot.lease for slot in heartbeat.slots if slot.ours})

    def _compare_leases(self, worker: WorkerHandle, *, held: set[int]) -> None:
        """End the leases of which only one side knows: messages are lost when a connection breaks."""
        for lease in held - worker.leases.keys():
            self._link.send(worker.identity, m.Close(lease))
        for lease in [each for each in worker.leases if each not in held]:
            found = self._leases.find(lease)
            # A lease that is still opening may not have reached the worker yet. Once it has answered `Opened`, it
            # reports the slot until its last message about the lease, so a slot that is missing here is lost.
            if found and found[0].session.lease == lease and found[0].session.state in SETTLED:
                self._coordinator.revoke(lease)
                self._coordinator.lose_stream(*found, "the worker has forgotten it", "forgotten", blame=False)

    def _on_lease_message(self, client: ClientSession, worker: WorkerHandle, message: FromLease) -> None:
        session, now, execute = client.session, self._clock(), self._coordinator.execute
        if message.lease == session.migration_lease:
            self._on_migration_message(client, worker, message)
            return
        match message:
            case m.Opened(_, load_ms):
                execute(client, session.on_opened(load_ms, now))
            case m.Hypothesis():
                self._on_hypothesis(client, worker, message, now)
            case m.Finished():
                execute(client, session.on_finished(message))
                if client.flush_requested_at is not None and session.outcome == "complete":
                    flush_s = now - client.flush_requested_at
                    self._observers.observe(events.SessionFlushed(session.id, worker.gpu_id, flush_s, now))
            case m.NoFreeSlot(lease):
                self._coordinator.revoke(lease, full=True)
                self._coordinator.lose_stream(client, worker, "the worker was full", "full", blame=False)
            case m.StreamFailed(lease, reason):
                worker.failures += 1
                self._coordinator.revoke(lease)
                self._coordinator.lose_stream(client, worker, reason, "stream_failed")
            case _:
                assert_never(message)

    def _on_hypothesis(self, client: ClientSession, worker: WorkerHandle, message: m.Hypothesis, now: float) -> None:
        session = client.session
        worker.failures, decoded_before = 0, session.decoded
        self._coordinator.execute(client, session.on_hypothesis(message, now))
        if not client.ended:
            self._observers.observe(
                events.StepTaken(session.id, worker.gpu_id, message, decoded_before, client.arrival_times, now)
            )
            client.arrival_times.forget(message.keep_from)

    def _on_migration_message(self, client: ClientSession, worker: WorkerHandle, message: FromLease) -> None:
        session = client.session
        if isinstance(message, m.Opened):
            self._coordinator.execute(client, session.on_prepared(worker.gpu_id, self._clock()))
        else:
            self._coordinator.revoke(message.lease, full=isinstance(message, m.NoFreeSlot))
            self._coordinator.execute(client, session.on_migration_lost())

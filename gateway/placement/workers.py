"""The workers of a gateway, and its leases on them (core)."""

from collections.abc import Collection

from gateway.placement import policy
from gateway.placement.events import WorkerLost
from gateway.placement.worker_handle import Lease, WorkerHandle, WorkerState, is_stuck
from shared.messages import PROTOCOL, Heartbeat, Register

FULL_PAUSE_S = 0.5
"""A worker that answered `NoFreeSlot`, though it seemed to have one, is not asked again for this long."""


class WorkerRegistry:
    """All workers, expected or registered, by name, and the worker of each lease.

    Args:
        expected: GPU numbers of the workers that should register.
        lost_after_s: a worker silent for this long is lost.
    """

    def __init__(self, expected: range, *, lost_after_s: float) -> None:
        self._workers = {f"gpu{number}": WorkerHandle(f"gpu{number}", number) for number in expected}
        self._lost_after_s = lost_after_s
        self._last_lease = 0
        self._worker_of_lease: dict[int, str] = {}

    # --- workers --------------------------------------------------------------------------------------------

    def all(self) -> list[WorkerHandle]:
        """Return all workers, expected ones too, by GPU number and name."""
        return sorted(self._workers.values(), key=lambda worker: (worker.gpu_id, worker.name))

    def serving(self) -> list[WorkerHandle]:
        return [worker for worker in self.all() if worker.state is WorkerState.SERVING]

    def draining(self) -> list[WorkerHandle]:
        return [worker for worker in self.all() if worker.state is WorkerState.DRAINING]

    def with_room(self) -> list[WorkerHandle]:
        """Return the serving workers that have a free slot."""
        return [worker for worker in self.serving() if worker.used() < worker.slots]

    @property
    def ever_served(self) -> bool:
        """Return True if any worker has registered since the gateway's start."""
        return any(worker.boots for worker in self._workers.values())

    def by_identity(self, identity: bytes) -> WorkerHandle | None:
        """Return the connected worker with this address on the socket."""
        for worker in self._workers.values():
            if worker.identity == identity and worker.is_connected:
                return worker
        return None

    def register(self, identity: bytes, registration: Register, now: float) -> WorkerLost | None:
        """Take in a worker: a new boot, or a known one that was lost. Return what its former boot held, if anything.

        Raises:
            ValueError: it speaks another version of the protocol.
        """
        name = registration.worker
        if registration.protocol != PROTOCOL:
            raise ValueError(f"worker {name} speaks protocol {registration.protocol}, this gateway {PROTOCOL}")
        worker = self._workers.setdefault(name, WorkerHandle(name, registration.gpu_id))
        before = self._lose(worker, "restarted") if worker.leases else None
        if worker.boot == registration.boot and worker.silent:
            worker.returned_at = now
        worker.silent = worker.load_overdue = False
        worker.boots += worker.boot != registration.boot
        worker.state, worker.identity, worker.boot = WorkerState.SERVING, identity, registration.boot
        worker.gpu_id, worker.registration = registration.gpu_id, registration
        worker.heartbeat, worker.last_seen = None, now
        worker.full_until, worker.failures = 0.0, 0
        return before

    def heartbeat(self, identity: bytes, heartbeat: Heartbeat, now: float) -> bool:
        """Note a heartbeat; return False if its sender is not connected and must register."""
        worker = self.by_identity(identity)
        if worker is None:
            return False
        worker.heartbeat, worker.last_seen = heartbeat, now
        worker.state = WorkerState.DRAINING if heartbeat.state == "draining" else WorkerState.SERVING
        return True

    def mark_lost(self, identity: bytes, reason: str, *, died: bool = True) -> WorkerLost | None:
        """Take a worker out at once: it cannot be reached, or it said goodbye."""
        worker = self.by_identity(identity)
        return self._lose(worker, reason, died=died) if worker else None

    def mark_load_overdue(self, worker: WorkerHandle, limit_s: float) -> WorkerLost:
        """Take a worker out that has been loading its weights for too long."""
        worker.load_overdue = True
        return self._lose(worker, f"still loads its weights after {limit_s:g} s", died=False)

    def still_failing(self, identity: bytes, heartbeat: Heartbeat) -> bool:
        """Return True if a lost worker is still in the step or the load that it was lost for: it must wait."""
        overdue = any(worker.load_overdue and worker.identity == identity for worker in self._workers.values())
        return is_stuck(heartbeat) or (overdue and heartbeat.weights == "loading")

    def expire(self, now: float) -> list[WorkerLost]:
        """Take out the workers that are silent or stuck."""
        lost = []
        for worker in self.all():
            if not worker.is_connected:
                continue
            silent_s, heartbeat = now - worker.last_seen, worker.heartbeat
            if silent_s >= worker.patience_factor(now) * self._lost_after_s:
                lost.append(self._lose(worker, f"silent for {silent_s:.1f} s", silent=True))
            elif heartbeat and is_stuck(heartbeat):
                lost.append(self._lose(worker, f"stuck in a step for {heartbeat.step_running_s:.1f} s"))
        return lost

    def _lose(self, worker: WorkerHandle, reason: str, *, died: bool = True, silent: bool = False) -> WorkerLost:
        leases = tuple(worker.leases.items())
        for lease in worker.leases:
            del self._worker_of_lease[lease]
        worker.leases.clear()
        worker.state, worker.heartbeat, worker.silent = WorkerState.LOST, None, silent
        return WorkerLost(worker.name, worker.gpu_id, reason, leases, worker.last_seen, died, silent, worker.identity)

    # --- leases ---------------------------------------------------------------------------------------------

    def acquire(
        self,
        session: str,
        now: float,
        *,
        avoid: Collection[str] = (),
        barred: Collection[str] = (),
        hurry: bool = False,
    ) -> Lease | None:
        """Lease a slot of the worker that `policy.choose_worker` names; return None if no slot is free.

        Args:
            session: the id of the session that it is for.
            now: the time.
            avoid: names of workers that are taken only if nothing else is free.
            barred: names of workers that are never taken.
            hurry: prefer a worker whose weights are on the device.
        """
        free = [worker for worker in self.with_room() if now >= worker.full_until and worker.name not in barred]
        worker = policy.choose_worker(free, avoid=avoid, hurry=hurry)
        if worker is None:
            return None
        self._last_lease += 1
        worker.leases[self._last_lease] = session
        self._worker_of_lease[self._last_lease] = worker.name
        return Lease(self._last_lease, worker.name, worker.gpu_id, worker.identity)

    def release(self, lease: int) -> WorkerHandle | None:
        """End a lease; return its worker, None if the lease was revoked before."""
        name = self._worker_of_lease.pop(lease, None)
        if name is None:
            return None
        worker = self._workers[name]
        del worker.leases[lease]
        return worker

    def release_as_full(self, lease: int, now: float) -> WorkerHandle | None:
        """End a lease whose worker has no free slot, and let that worker rest; return it, as `release`."""
        worker = self.release(lease)
        if worker is not None:
            worker.full_until = now + FULL_PAUSE_S
        return worker

    def worker_of(self, lease: int) -> WorkerHandle | None:
        name = self._worker_of_lease.get(lease)
        return self._workers[name] if name else None

    def most_overloaded(self) -> WorkerHandle | None:
        """Return the worker off which a session should be migrated, as `policy.most_overloaded`."""
        return policy.most_overloaded(self.serving(), self.with_room())

    # --- figures --------------------------------------------------------------------------------------------

    def total_slots(self) -> int:
        """Return the slots of the serving workers."""
        return sum(worker.slots for worker in self._workers.values())

    def known_slots(self) -> int:
        """Return the slots of all workers that have ever registered, lost ones too."""
        return sum(worker.registration.slots for worker in self._workers.values() if worker.registration)

    def used_slots(self) -> int:
        return sum(worker.used() for worker in self.serving())

    def check(self) -> None:
        """Assert what must hold between two calls."""
        for worker in self._workers.values():
            if worker.registration:
                assert len(worker.leases) <= worker.registration.slots, worker
            assert worker.is_connected or not worker.leases, worker
        held = {lease: worker.name for worker in self._workers.values() for lease in worker.leases}
        assert held == self._worker_of_lease

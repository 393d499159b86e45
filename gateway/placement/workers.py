"""The workers a gateway hears, the leases it has granted on them, and the rule that places a session."""

import enum
from collections.abc import Collection
from dataclasses import dataclass, field

from shared.messages import PROTOCOL, Heartbeat, Register


class WorkerState(enum.Enum):
    """A worker as the gateway sees it."""

    EXPECTED = "expected"  # never heard of yet
    SERVING = "serving"
    DRAINING = "draining"  # takes no new lease
    LOST = "lost"  # silent, stuck or gone


@dataclass(slots=True)
class Worker:
    """One expected or registered worker. ``identity`` is its address on the socket."""

    name: str
    gpu_id: int
    state: WorkerState = WorkerState.EXPECTED
    identity: bytes = b""
    boot: str = ""
    boots: int = 0
    facts: Register | None = None
    beat: Heartbeat | None = None
    heard: float = 0.0
    leases: dict[int, str] = field(default_factory=dict)
    full_until: float = 0.0
    failures: int = 0  # streams that have failed since one went well
    silent: bool = False  # was lost for its silence alone
    endless: bool = False  # was lost in the midst of loading its weights
    returned: float = float("-inf")  # when it last turned out to live all the same

    @property
    def slots(self) -> int:
        """Return how many sessions it serves at once; 0 while it does not serve."""
        return self.facts.slots if self.facts and self.state is WorkerState.SERVING else 0

    @property
    def warm(self) -> bool:
        """Tell whether its weights are on the device."""
        return self.beat is not None and self.beat.weights == "device"

    def used(self) -> int:
        """Return the slots in use: ours, and what other gateways hold there by its own report."""
        foreign = sum(not slot.ours for slot in self.beat.slots) if self.beat else 0
        return len(self.leases) + foreign


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease on a worker."""

    lease: int
    worker: str
    gpu_id: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has left; these leases are gone, each with its session's name.

    ``heard`` is its last sign of life; ``died`` is False if no session can have been the cause; ``silent`` if nothing
    but its silence speaks for its death.
    """

    worker: str
    gpu_id: int
    reason: str
    leases: tuple[tuple[int, str], ...]
    heard: float
    died: bool
    silent: bool
    identity: bytes


AILING = 2
"""So many failed streams in a row speak against the worker, not the streams."""
LOADING_PATIENCE = 3.0
"""A worker that loads its weights is given this many times as long: on a crowded CPU that leaves it little time, and
to move its sessions would only have another one load."""
RETURN_PATIENCE, RETURN_S = 2.0, 30.0
"""So does one that was lost for its silence and then came back alive, for this long: on a machine that is overloaded,
to move its sessions again and again would only add to the load."""
STUCK_S = 5.0
STUCK_MEDIANS = 20.0


def is_stuck(beat: Heartbeat) -> bool:
    """Tell whether a worker's running step takes far too long."""
    return beat.step_running_s > max(STUCK_S, STUCK_MEDIANS * beat.step_median_s)


FULL_REST_S = 0.5
"""After a worker said `Full` against our belief, it is not asked again for so long."""


class Pool:
    """Workers and leases.

    Args:
        expected: GPU numbers of the workers that ought to be there.
        lost_after_s: a worker silent for so long is lost.
    """

    def __init__(self, expected: range, *, lost_after_s: float) -> None:
        self._workers = {f"gpu{number}": Worker(f"gpu{number}", number) for number in expected}
        self._lost_after_s = lost_after_s
        self._leases = 0
        self._where: dict[int, str] = {}

    # --- workers --------------------------------------------------------------------------------------------

    def workers(self) -> list[Worker]:
        """Return all workers, expected ones too, by GPU number and name."""
        return sorted(self._workers.values(), key=lambda worker: (worker.gpu_id, worker.name))

    def serving(self) -> list[Worker]:
        """Return the workers that take sessions."""
        return [worker for worker in self.workers() if worker.state is WorkerState.SERVING]

    def with_room(self) -> list[Worker]:
        """Return those of them that have a free slot."""
        return [worker for worker in self.serving() if worker.used() < worker.slots]

    @property
    def ever_served(self) -> bool:
        """Tell whether any worker has registered since the start."""
        return any(worker.boots for worker in self._workers.values())

    def register(self, identity: bytes, facts: Register, now: float) -> Lost | None:
        """Take in a worker's new life, or an old one that lost its leases; return what its name held before.

        Raises:
            ValueError: it speaks another version of the protocol.
        """
        if facts.protocol != PROTOCOL:
            raise ValueError(f"worker {facts.worker} speaks protocol {facts.protocol}, this gateway {PROTOCOL}")
        worker = self._workers.setdefault(facts.worker, Worker(facts.worker, facts.gpu_id))
        before = self._lose(worker, "restarted") if worker.leases else None
        if worker.boot == facts.boot and worker.silent:
            worker.returned = now
        worker.silent = worker.endless = False
        worker.boots += worker.boot != facts.boot
        worker.state, worker.identity, worker.boot = WorkerState.SERVING, identity, facts.boot
        worker.gpu_id, worker.facts, worker.beat, worker.heard = facts.gpu_id, facts, None, now
        worker.full_until, worker.failures = 0.0, 0
        return before

    def heartbeat(self, identity: bytes, beat: Heartbeat, now: float) -> bool:
        """Note a heartbeat; False if the sender is not known as serving and must register."""
        worker = self.by_identity(identity)
        if worker is None:
            return False
        worker.beat, worker.heard = beat, now
        worker.state = WorkerState.DRAINING if beat.state == "draining" else WorkerState.SERVING
        return True

    def by_identity(self, identity: bytes) -> Worker | None:
        """Return the live worker with this address."""
        for worker in self._workers.values():
            if worker.identity == identity and worker.state in (WorkerState.SERVING, WorkerState.DRAINING):
                return worker
        return None

    def gone(self, identity: bytes, reason: str, *, died: bool = True) -> Lost | None:
        """Take a worker out at once: it cannot be reached, or it said goodbye."""
        worker = self.by_identity(identity)
        return self._lose(worker, reason, died=died) if worker else None

    def endless_load(self, worker: Worker, limit_s: float) -> Lost:
        """Take a worker out that does not come to an end with loading its weights."""
        worker.endless = True
        return self._lose(worker, f"still loads its weights after {limit_s:g} s", died=False)

    def goes_on(self, identity: bytes, beat: Heartbeat) -> bool:
        """Tell whether what a worker was lost for lasts: it is not taken back before that has ended."""
        endless = any(worker.endless and worker.identity == identity for worker in self._workers.values())
        return is_stuck(beat) or (endless and beat.weights == "loading")

    def expire(self, now: float) -> list[Lost]:
        """Take out the workers that are silent or stuck."""
        lost = []
        for worker in self.workers():
            if worker.state not in (WorkerState.SERVING, WorkerState.DRAINING):
                continue
            beat = worker.beat
            if now - worker.heard >= self._patience(worker, now) * self._lost_after_s:
                lost.append(self._lose(worker, f"silent for {now - worker.heard:.1f} s", silent=True))
            elif beat and is_stuck(beat):
                lost.append(self._lose(worker, f"stuck in a step for {beat.step_running_s:.1f} s"))
        return lost

    def _patience(self, worker: Worker, now: float) -> float:
        if worker.beat and worker.beat.weights == "loading":
            return LOADING_PATIENCE
        return RETURN_PATIENCE if now - worker.returned < RETURN_S else 1.0

    def _lose(self, worker: Worker, reason: str, *, died: bool = True, silent: bool = False) -> Lost:
        leases = tuple(worker.leases.items())
        for lease in worker.leases:
            del self._where[lease]
        worker.leases.clear()
        worker.state, worker.beat, worker.silent = WorkerState.LOST, None, silent
        return Lost(worker.name, worker.gpu_id, reason, leases, worker.heard, died, silent, worker.identity)

    # --- leases ---------------------------------------------------------------------------------------------

    def place(
        self,
        session: str,
        now: float,
        *,
        avoid: Collection[str] = (),
        barred: Collection[str] = (),
        hurry: bool = False,
    ) -> Grant | None:
        """Lease the least-loaded worker's slot, among equals the lowest GPU number's.

        Workers named in ``avoid`` are taken only if nothing else is free, ``barred`` ones never. Who is in a ``hurry``
        goes where the weights are on the device already, if there is room: loads are evened out later. Returns None
        when every other slot is taken.
        """
        free = [w for w in self.with_room() if now >= w.full_until and w.name not in barred]
        if not free:
            return None
        # A worker on which everything fails always has the most room: it must not draw all sessions to it.
        worker = min(
            free,
            key=lambda w: (w.name in avoid, w.failures >= AILING, hurry and not w.warm, w.used(), w.gpu_id, w.name),
        )
        self._leases += 1
        worker.leases[self._leases] = session
        self._where[self._leases] = worker.name
        return Grant(self._leases, worker.name, worker.gpu_id, worker.identity)

    def release(self, lease: int) -> Worker | None:
        """Give a lease back; return the worker that had it, None if it was revoked before."""
        name = self._where.pop(lease, None)
        if name is None:
            return None
        worker = self._workers[name]
        del worker.leases[lease]
        return worker

    def refused(self, lease: int, now: float) -> Worker | None:
        """Note that the worker answered `Full`: revoke the lease and let the worker rest; return it, as `release`."""
        worker = self.release(lease)
        if worker is not None:
            worker.full_until = now + FULL_REST_S
        return worker

    def holder(self, lease: int) -> Worker | None:
        """Return the worker on which the lease is."""
        name = self._where.get(lease)
        return self._workers[name] if name else None

    def uneven(self) -> Worker | None:
        """Return the worker that has at least two sessions more than another that would take one, if there is one."""
        free = [worker.used() for worker in self.with_room() if worker.failures < AILING]
        if not free:
            return None
        fullest = max(self.serving(), key=lambda worker: (worker.used(), -worker.gpu_id))
        return fullest if fullest.used() - min(free) >= 2 and fullest.leases else None

    def draining(self) -> list[Worker]:
        """Return the workers that give away what they have."""
        return [worker for worker in self.workers() if worker.state is WorkerState.DRAINING]

    # --- figures --------------------------------------------------------------------------------------------

    def total_slots(self) -> int:
        """Return the slots of all serving workers."""
        return sum(worker.slots for worker in self._workers.values())

    def known_slots(self) -> int:
        """Return the slots of all workers that have ever served, whatever has become of them."""
        return sum(worker.facts.slots for worker in self._workers.values() if worker.facts)

    def used_slots(self) -> int:
        """Return how many of them are in use."""
        return sum(worker.used() for worker in self.serving())

    def check(self) -> None:
        """Assert what must hold between two calls."""
        for worker in self._workers.values():
            if worker.facts:
                assert len(worker.leases) <= worker.facts.slots, worker
            if worker.state in (WorkerState.EXPECTED, WorkerState.LOST):
                assert not worker.leases, worker
        held = {lease: worker.name for worker in self._workers.values() for lease in worker.leases}
        assert held == self._where

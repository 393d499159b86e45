"""Random workers and leases, compared with a plain model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.placement.workers import FULL_PAUSE_S, WorkerRegistry
from shared.messages import SlotReport
from tests.gateway.builders import heartbeat, register
from tests.gateway.placement.test_workers import LOST_AFTER_S, identity


class RandomWorkers(RuleBasedStateMachine):
    """Any order of boots, losses, leases and time, beside a model that counts by itself."""

    @initialize(workers=st.integers(1, 4), slots=st.integers(1, 3))
    def start(self, workers, slots):
        self.registry = WorkerRegistry(range(workers), lost_after_s=LOST_AFTER_S)
        self.slots = slots
        self.size = workers
        self.now = 0.0
        self.boots = 0
        self.alive: dict[int, bytes] = {}
        self.last_seen: dict[int, float] = {}
        self.draining: set[int] = set()
        self.foreign: dict[int, int] = {}
        self.full_until: dict[int, float] = {}
        self.leases: dict[int, int] = {}
        self.given: set[int] = set()

    def drop(self, gpu_id) -> set[int]:
        """Remove a worker from the model and return its leases."""
        lost = {lease for lease, where in self.leases.items() if where == gpu_id}
        for lease in lost:
            del self.leases[lease]
        self.alive.pop(gpu_id, None)
        self.draining.discard(gpu_id)
        self.foreign.pop(gpu_id, None)
        return lost

    @rule(gpu_id=st.integers(0, 3), again=st.booleans())
    def register(self, gpu_id, again):
        gpu_id %= self.size
        self.boots += 1
        name = self.alive[gpu_id] if again and gpu_id in self.alive else identity(gpu_id, str(self.boots))
        lost = self.drop(gpu_id)
        found = self.registry.register(name, register(gpu_id, boot=name.decode(), slots=self.slots), self.now)
        assert {lease for lease, _ in found.leases} == lost if found else not lost
        self.alive[gpu_id], self.last_seen[gpu_id] = name, self.now
        self.full_until.pop(gpu_id, None)

    @rule(gpu_id=st.integers(0, 3), draining=st.booleans(), others=st.integers(0, 2))
    def heartbeat(self, gpu_id, draining, others):
        gpu_id %= self.size
        name = self.alive.get(gpu_id, identity(gpu_id, "dead"))
        slots = [SlotReport(n, "other", ours=False, received=0, decoded=0) for n in range(others)]
        beat = heartbeat(*slots, state="draining" if draining else "serving")
        assert self.registry.heartbeat(name, beat, self.now) == (gpu_id in self.alive)
        if gpu_id in self.alive:
            self.last_seen[gpu_id] = self.now
            (self.draining.add if draining else self.draining.discard)(gpu_id)
            self.foreign[gpu_id] = others

    @rule(gpu_id=st.integers(0, 3))
    def leave(self, gpu_id):
        gpu_id %= self.size
        name = self.alive.get(gpu_id, identity(gpu_id, "dead"))
        lost = self.drop(gpu_id)
        found = self.registry.mark_lost(name, "stopped")
        assert {lease for lease, _ in found.leases} == lost if found else not lost

    @rule(passed_s=st.sampled_from([0.3, 1.0, 2.0]))
    def time(self, passed_s):
        self.now += passed_s
        silent = {gpu_id for gpu_id in self.alive if self.now - self.last_seen[gpu_id] >= LOST_AFTER_S}
        lost = {gpu_id: self.drop(gpu_id) for gpu_id in silent}
        found = {each.gpu_id: {lease for lease, _ in each.leases} for each in self.registry.expire(self.now)}
        assert found == lost

    @rule(avoid=st.sampled_from([None, 0, 1]))
    def acquire(self, avoid):
        used = {
            gpu_id: sum(where == gpu_id for where in self.leases.values()) + self.foreign.get(gpu_id, 0)
            for gpu_id in self.alive
            if gpu_id not in self.draining and self.now >= self.full_until.get(gpu_id, 0.0)
        }
        free = [gpu_id for gpu_id, count in used.items() if count < self.slots]
        lease = self.registry.acquire("x", self.now, avoid=() if avoid is None else {f"gpu{avoid}"})
        if not free:
            assert lease is None
            return
        assert lease.gpu_id == min(free, key=lambda gpu_id: (gpu_id == avoid, used[gpu_id], gpu_id))
        assert lease.identity == self.alive[lease.gpu_id]
        assert lease.id not in self.given, "a message about a former lease is so recognised"
        self.given.add(lease.id)
        self.leases[lease.id] = lease.gpu_id

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), full=st.booleans())
    def release(self, data, full):
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        gpu_id = self.leases.pop(lease)
        if full:
            self.registry.release_as_full(lease, self.now)
            self.full_until[gpu_id] = self.now + FULL_PAUSE_S
        else:
            assert self.registry.release(lease).gpu_id == gpu_id
        assert self.registry.release(lease) is self.registry.worker_of(lease) is None

    @invariant()
    def agree(self):
        self.registry.check()
        held = {lease: worker.gpu_id for worker in self.registry.all() for lease in worker.leases}
        assert held == self.leases
        serving = {worker.gpu_id for worker in self.registry.serving()}
        assert serving == set(self.alive) - self.draining
        assert self.registry.total_slots() == self.slots * len(serving)


RandomWorkers.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_random_workers = RandomWorkers.TestCase

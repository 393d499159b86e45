"""The pool: who is there, what is leased, and where a session goes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.placement.workers import FULL_PAUSE_S, WorkerRegistry, WorkerState
from shared.messages import SlotReport
from tests.gateway.builders import heartbeat, register

LOST_AFTER_S = 2.0


def identity(gpu_id, boot="a") -> bytes:
    return f"gpu{gpu_id}.{boot}".encode()


def pool_of(workers=4, slots=4) -> WorkerRegistry:
    """Return a pool whose workers serve."""
    registry = WorkerRegistry(range(workers), lost_after_s=LOST_AFTER_S)
    for gpu_id in range(workers):
        registry.register(identity(gpu_id), register(gpu_id, slots=slots), 0.0)
    return registry


def loads(registry) -> list[int]:
    return [len(worker.leases) for worker in registry.all()]


def foreign(count) -> tuple[SlotReport, ...]:
    return tuple(SlotReport(n, "other", ours=False, received=0, decoded=0) for n in range(count))


def test_expected_workers_are_listed_before_they_come():
    """Every expected worker is there from the start, and none of them serves."""
    registry = WorkerRegistry(range(4), lost_after_s=LOST_AFTER_S)
    assert [(w.gpu_id, w.state, w.slots) for w in registry.all()] == [(n, WorkerState.EXPECTED, 0) for n in range(4)]
    assert (registry.serving(), registry.total_slots(), registry.ever_served) == ([], 0, False)
    assert registry.acquire("x", 0.0) is None
    registry.check()


def test_sessions_go_round():
    """The first session is on GPU 0, then each goes where fewest are; the 17th finds nothing."""
    registry = pool_of()
    assert [registry.acquire(str(n), 0.0).gpu_id for n in range(16)] == [0, 1, 2, 3] * 4
    assert registry.acquire("17", 0.0) is None
    assert (registry.total_slots(), registry.used_slots(), loads(registry)) == (16, 16, [4, 4, 4, 4])


def test_leases_never_come_again():
    """A lease's number is not given out twice, so an old one is recognised."""
    registry = pool_of(1, 1)
    first = registry.acquire("x", 0.0)
    registry.release(first.id)
    second = registry.acquire("x", 0.0)
    assert first.id != second.id
    assert registry.release(first.id) is None
    assert registry.worker_of(first.id) is None
    assert registry.worker_of(second.id).gpu_id == 0


def test_a_freed_slot_is_the_next():
    """The least-loaded worker is where someone has just left, whatever its number."""
    registry = pool_of()
    grants = [registry.acquire(str(n), 0.0) for n in range(8)]
    registry.release(grants[6].id)
    assert registry.acquire("x", 0.0).gpu_id == 2


def test_a_worker_to_avoid_is_the_last_choice():
    """A session does not go back to the worker that failed it unless there is no other."""
    registry = pool_of(2, 2)
    assert [registry.acquire(str(n), 0.0, avoid={"gpu0"}).gpu_id for n in range(4)] == [1, 1, 0, 0]


def test_a_full_worker_rests():
    """A worker that said Full loses the lease and is not asked again for a moment."""
    registry = pool_of(1)
    grant = registry.acquire("x", 10.0)
    registry.release_as_full(grant.id, 10.0)
    assert loads(registry) == [0]
    assert registry.acquire("x", 10.0 + FULL_PAUSE_S - 0.01) is None
    assert registry.acquire("x", 10.0 + FULL_PAUSE_S).gpu_id == 0
    registry.release_as_full(grant.id, 20.0)
    assert registry.acquire("y", 20.0) is not None


def test_other_gateways_slots_count():
    """A slot that another gateway holds on a worker is taken, by the worker's own report."""
    registry = pool_of(2, 2)
    registry.heartbeat(identity(0), heartbeat(*foreign(1)), 0.0)
    assert [registry.acquire(str(n), 0.0).gpu_id for n in range(3)] == [1, 0, 1]
    assert registry.acquire("x", 0.0) is None
    assert (registry.used_slots(), registry.total_slots()) == (4, 4)
    registry.heartbeat(identity(0), heartbeat(), 0.0)
    assert registry.acquire("x", 0.0).gpu_id == 0


@pytest.mark.parametrize(("silent_s", "lost"), [(1.99, False), (2.0, True)])
def test_silence_loses_the_leases(silent_s, lost):
    """A worker that was not heard for so long is out, with everything it held."""
    registry = pool_of(1)
    grant = registry.acquire("x", 0.0)
    registry.heartbeat(identity(0), heartbeat(), 5.0)
    found = registry.expire(5.0 + silent_s)
    assert [(each.gpu_id, each.leases) for each in found] == ([(0, ((grant.id, "x"),))] if lost else [])
    assert registry.total_slots() == (0 if lost else 4)
    assert registry.expire(100.0) == [] or not lost


@pytest.mark.parametrize(
    ("running_s", "median_s", "lost"), [(5.0, 0.1, False), (5.1, 0.1, True), (9.0, 0.5, False), (10.1, 0.5, True)]
)
def test_a_step_without_end_loses_the_leases(running_s, median_s, lost):
    """Stuck is a step longer than 5 s and 20 times the median: heartbeats alone do not save a worker."""
    registry = pool_of(1)
    registry.acquire("x", 0.0)
    registry.heartbeat(identity(0), heartbeat(running_s=running_s, median_s=median_s), 1.0)
    found = registry.expire(1.0)
    assert bool(found) == lost
    if lost:
        assert "stuck" in found[0].reason


def test_a_lost_worker_must_introduce_itself():
    """After a loss heartbeats are not enough: the worker is told to register and comes back empty."""
    registry = pool_of(1)
    registry.acquire("x", 0.0)
    registry.expire(10.0)
    assert not registry.heartbeat(identity(0), heartbeat(), 10.0)
    assert registry.register(identity(0), register(0), 10.0) is None
    assert registry.heartbeat(identity(0), heartbeat(), 10.0)
    assert (registry.total_slots(), loads(registry), registry.all()[0].boots) == (4, [0], 1)


def test_a_new_life_takes_over():
    """A worker that restarted loses what it held; messages of its former life are from nobody."""
    registry = pool_of(1)
    grant = registry.acquire("x", 0.0)
    lost = registry.register(identity(0, "b"), register(0, boot="b"), 1.0)
    assert lost.leases == ((grant.id, "x"),)
    assert not registry.heartbeat(identity(0, "a"), heartbeat(), 1.0)
    assert registry.mark_lost(identity(0, "a"), "late goodbye") is None
    assert (registry.all()[0].boots, registry.total_slots()) == (2, 4)


def test_a_goodbye_frees_at_once():
    """A worker that leaves on purpose is out without any silence."""
    registry = pool_of(2)
    grant = registry.acquire("x", 0.0)
    lost = registry.mark_lost(identity(0), "stopped")
    assert (lost.reason, lost.leases) == ("stopped", ((grant.id, "x"),))
    assert registry.mark_lost(identity(0), "stopped") is None
    assert registry.acquire("y", 0.0).gpu_id == 1


def test_a_draining_worker_takes_nothing_new():
    """Its sessions stay until they are moved; its slots leave the totals."""
    registry = pool_of(2)
    registry.acquire("x", 0.0)
    registry.heartbeat(identity(0), heartbeat(state="draining"), 0.0)
    assert [registry.acquire(str(n), 0.0).gpu_id for n in range(4)] == [1, 1, 1, 1]
    assert registry.acquire("y", 0.0) is None
    assert (registry.total_slots(), [worker.gpu_id for worker in registry.draining()]) == (4, [0])
    assert loads(registry) == [1, 4]


def test_another_protocol_is_refused():
    """A worker of another version is told apart before it holds anything."""
    registry = WorkerRegistry(range(1), lost_after_s=LOST_AFTER_S)
    with pytest.raises(ValueError, match="speaks protocol 99"):
        registry.register(identity(0), register(0, protocol=99), 0.0)
    assert not registry.ever_served


def test_an_unexpected_worker_is_welcome():
    """Workers beyond the expected ones serve too; totals follow."""
    registry = pool_of(1)
    registry.register(identity(7), register(7, slots=2), 0.0)
    assert (registry.total_slots(), [worker.gpu_id for worker in registry.all()]) == (6, [0, 7])


def test_uneven_loads_are_found():
    """Two more than somewhere with a free slot is uneven; one more is not."""
    registry = pool_of(2)
    grants = [registry.acquire(str(n), 0.0) for n in range(4)]
    assert registry.most_overloaded() is None
    registry.release(grants[1].id)
    assert registry.most_overloaded() is None
    registry.release(grants[3].id)
    assert registry.most_overloaded().gpu_id == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5))
def test_loads_differ_by_at_most_one(workers, slots):
    """As sessions arrive, on whatever number of workers, no worker is ever two ahead of another."""
    registry = pool_of(workers, slots)
    for n in range(workers * slots):
        assert registry.acquire(str(n), 0.0) is not None
        assert max(loads(registry)) - min(loads(registry)) <= 1
        registry.check()
    assert registry.acquire("one more", 0.0) is None


class PoolMachine(RuleBasedStateMachine):
    """Any order of lives, deaths, leases and time, beside a model that counts by itself."""

    @initialize(workers=st.integers(1, 4), slots=st.integers(1, 3))
    def start(self, workers, slots):
        self.registry = WorkerRegistry(range(workers), lost_after_s=LOST_AFTER_S)
        self.slots = slots
        self.size = workers
        self.now = 0.0
        self.boots = 0
        self.alive: dict[int, bytes] = {}
        self.heard: dict[int, float] = {}
        self.draining: set[int] = set()
        self.foreign: dict[int, int] = {}
        self.resting: dict[int, float] = {}
        self.leases: dict[int, int] = {}

    def drop(self, gpu_id) -> set[int]:
        """Forget a worker in the model and return its leases."""
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
        self.alive[gpu_id], self.heard[gpu_id] = name, self.now
        self.resting.pop(gpu_id, None)

    @rule(gpu_id=st.integers(0, 3), draining=st.booleans(), others=st.integers(0, 2))
    def beat(self, gpu_id, draining, others):
        gpu_id %= self.size
        name = self.alive.get(gpu_id, identity(gpu_id, "dead"))
        beat = heartbeat(*foreign(others), state="draining" if draining else "serving")
        assert self.registry.heartbeat(name, beat, self.now) == (gpu_id in self.alive)
        if gpu_id in self.alive:
            self.heard[gpu_id] = self.now
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
        silent = {gpu_id for gpu_id in self.alive if self.now - self.heard[gpu_id] >= LOST_AFTER_S}
        lost = {gpu_id: self.drop(gpu_id) for gpu_id in silent}
        found = {each.gpu_id: {lease for lease, _ in each.leases} for each in self.registry.expire(self.now)}
        assert found == lost

    @rule(avoid=st.sampled_from([None, 0, 1]))
    def place(self, avoid):
        used = {
            gpu_id: sum(where == gpu_id for where in self.leases.values()) + self.foreign.get(gpu_id, 0)
            for gpu_id in self.alive
            if gpu_id not in self.draining and self.now >= self.resting.get(gpu_id, 0.0)
        }
        free = [gpu_id for gpu_id, count in used.items() if count < self.slots]
        grant = self.registry.acquire("x", self.now, avoid=() if avoid is None else {f"gpu{avoid}"})
        if not free:
            assert grant is None
            return
        assert grant.gpu_id == min(free, key=lambda gpu_id: (gpu_id == avoid, used[gpu_id], gpu_id))
        assert grant.identity == self.alive[grant.gpu_id]
        assert grant.id not in self.leases
        self.leases[grant.id] = grant.gpu_id

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), full=st.booleans())
    def give_back(self, data, full):
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        gpu_id = self.leases.pop(lease)
        if full:
            self.registry.release_as_full(lease, self.now)
            self.resting[gpu_id] = self.now + FULL_PAUSE_S
        else:
            assert self.registry.release(lease).gpu_id == gpu_id
        assert self.registry.release(lease) is None

    @invariant()
    def agree(self):
        if not hasattr(self, "registry"):
            return
        self.registry.check()
        held = {lease: worker.gpu_id for worker in self.registry.all() for lease in worker.leases}
        assert held == self.leases
        serving = {worker.gpu_id for worker in self.registry.serving()}
        assert serving == set(self.alive) - self.draining
        assert self.registry.total_slots() == self.slots * len(serving)


PoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_pool_machine = PoolMachine.TestCase

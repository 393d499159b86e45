"""The pool: who is there, what is leased, and where a session goes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.placement.workers import FULL_REST_S, Pool, WorkerState
from shared.messages import SlotReport
from tests.gateway.builders import heartbeat, register

LOST_AFTER_S = 2.0


def identity(gpu_id, boot="a") -> bytes:
    return f"gpu{gpu_id}.{boot}".encode()


def pool_of(workers=4, slots=4) -> Pool:
    """Return a pool whose workers serve."""
    pool = Pool(range(workers), lost_after_s=LOST_AFTER_S)
    for gpu_id in range(workers):
        pool.register(identity(gpu_id), register(gpu_id, slots=slots), 0.0)
    return pool


def loads(pool) -> list[int]:
    return [len(worker.leases) for worker in pool.workers()]


def foreign(count) -> tuple[SlotReport, ...]:
    return tuple(SlotReport(n, "other", ours=False, received=0, decoded=0) for n in range(count))


def test_expected_workers_are_listed_before_they_come():
    """Every expected worker is there from the start, and none of them serves."""
    pool = Pool(range(4), lost_after_s=LOST_AFTER_S)
    assert [(w.gpu_id, w.state, w.slots) for w in pool.workers()] == [(n, WorkerState.EXPECTED, 0) for n in range(4)]
    assert (pool.serving(), pool.total_slots(), pool.ever_served) == ([], 0, False)
    assert pool.place("x", 0.0) is None
    pool.check()


def test_sessions_go_round():
    """The first session is on GPU 0, then each goes where fewest are; the 17th finds nothing."""
    pool = pool_of()
    assert [pool.place(str(n), 0.0).gpu_id for n in range(16)] == [0, 1, 2, 3] * 4
    assert pool.place("17", 0.0) is None
    assert (pool.total_slots(), pool.used_slots(), loads(pool)) == (16, 16, [4, 4, 4, 4])


def test_leases_never_come_again():
    """A lease's number is not given out twice, so an old one is recognised."""
    pool = pool_of(1, 1)
    first = pool.place("x", 0.0)
    pool.release(first.lease)
    second = pool.place("x", 0.0)
    assert first.lease != second.lease
    assert pool.release(first.lease) is None
    assert pool.holder(first.lease) is None
    assert pool.holder(second.lease).gpu_id == 0


def test_a_freed_slot_is_the_next():
    """The least-loaded worker is where someone has just left, whatever its number."""
    pool = pool_of()
    grants = [pool.place(str(n), 0.0) for n in range(8)]
    pool.release(grants[6].lease)
    assert pool.place("x", 0.0).gpu_id == 2


def test_a_worker_to_avoid_is_the_last_choice():
    """A session does not go back to the worker that failed it unless there is no other."""
    pool = pool_of(2, 2)
    assert [pool.place(str(n), 0.0, avoid={"gpu0"}).gpu_id for n in range(4)] == [1, 1, 0, 0]


def test_a_full_worker_rests():
    """A worker that said Full loses the lease and is not asked again for a moment."""
    pool = pool_of(1)
    grant = pool.place("x", 10.0)
    pool.refused(grant.lease, 10.0)
    assert loads(pool) == [0]
    assert pool.place("x", 10.0 + FULL_REST_S - 0.01) is None
    assert pool.place("x", 10.0 + FULL_REST_S).gpu_id == 0
    pool.refused(grant.lease, 20.0)
    assert pool.place("y", 20.0) is not None


def test_other_gateways_slots_count():
    """A slot that another gateway holds on a worker is taken, by the worker's own report."""
    pool = pool_of(2, 2)
    pool.heartbeat(identity(0), heartbeat(*foreign(1)), 0.0)
    assert [pool.place(str(n), 0.0).gpu_id for n in range(3)] == [1, 0, 1]
    assert pool.place("x", 0.0) is None
    assert (pool.used_slots(), pool.total_slots()) == (4, 4)
    pool.heartbeat(identity(0), heartbeat(), 0.0)
    assert pool.place("x", 0.0).gpu_id == 0


@pytest.mark.parametrize(("silent_s", "lost"), [(1.99, False), (2.0, True)])
def test_silence_loses_the_leases(silent_s, lost):
    """A worker that was not heard for so long is out, with everything it held."""
    pool = pool_of(1)
    grant = pool.place("x", 0.0)
    pool.heartbeat(identity(0), heartbeat(), 5.0)
    found = pool.expire(5.0 + silent_s)
    assert [(each.gpu_id, each.leases) for each in found] == ([(0, ((grant.lease, "x"),))] if lost else [])
    assert pool.total_slots() == (0 if lost else 4)
    assert pool.expire(100.0) == [] or not lost


@pytest.mark.parametrize(
    ("running_s", "median_s", "lost"), [(5.0, 0.1, False), (5.1, 0.1, True), (9.0, 0.5, False), (10.1, 0.5, True)]
)
def test_a_step_without_end_loses_the_leases(running_s, median_s, lost):
    """Stuck is a step longer than 5 s and 20 times the median: heartbeats alone do not save a worker."""
    pool = pool_of(1)
    pool.place("x", 0.0)
    pool.heartbeat(identity(0), heartbeat(running_s=running_s, median_s=median_s), 1.0)
    found = pool.expire(1.0)
    assert bool(found) == lost
    if lost:
        assert "stuck" in found[0].reason


def test_a_lost_worker_must_introduce_itself():
    """After a loss heartbeats are not enough: the worker is told to register and comes back empty."""
    pool = pool_of(1)
    pool.place("x", 0.0)
    pool.expire(10.0)
    assert not pool.heartbeat(identity(0), heartbeat(), 10.0)
    assert pool.register(identity(0), register(0), 10.0) is None
    assert pool.heartbeat(identity(0), heartbeat(), 10.0)
    assert (pool.total_slots(), loads(pool), pool.workers()[0].boots) == (4, [0], 1)


def test_a_new_life_takes_over():
    """A worker that restarted loses what it held; messages of its former life are from nobody."""
    pool = pool_of(1)
    grant = pool.place("x", 0.0)
    lost = pool.register(identity(0, "b"), register(0, boot="b"), 1.0)
    assert lost.leases == ((grant.lease, "x"),)
    assert not pool.heartbeat(identity(0, "a"), heartbeat(), 1.0)
    assert pool.gone(identity(0, "a"), "late goodbye") is None
    assert (pool.workers()[0].boots, pool.total_slots()) == (2, 4)


def test_a_goodbye_frees_at_once():
    """A worker that leaves on purpose is out without any silence."""
    pool = pool_of(2)
    grant = pool.place("x", 0.0)
    lost = pool.gone(identity(0), "stopped")
    assert (lost.reason, lost.leases) == ("stopped", ((grant.lease, "x"),))
    assert pool.gone(identity(0), "stopped") is None
    assert pool.place("y", 0.0).gpu_id == 1


def test_a_draining_worker_takes_nothing_new():
    """Its sessions stay until they are moved; its slots leave the totals."""
    pool = pool_of(2)
    pool.place("x", 0.0)
    pool.heartbeat(identity(0), heartbeat(state="draining"), 0.0)
    assert [pool.place(str(n), 0.0).gpu_id for n in range(4)] == [1, 1, 1, 1]
    assert pool.place("y", 0.0) is None
    assert (pool.total_slots(), [worker.gpu_id for worker in pool.draining()]) == (4, [0])
    assert loads(pool) == [1, 4]


def test_another_protocol_is_refused():
    """A worker of another version is told apart before it holds anything."""
    pool = Pool(range(1), lost_after_s=LOST_AFTER_S)
    with pytest.raises(ValueError, match="speaks protocol 99"):
        pool.register(identity(0), register(0, protocol=99), 0.0)
    assert not pool.ever_served


def test_an_unexpected_worker_is_welcome():
    """Workers beyond the expected ones serve too; totals follow."""
    pool = pool_of(1)
    pool.register(identity(7), register(7, slots=2), 0.0)
    assert (pool.total_slots(), [worker.gpu_id for worker in pool.workers()]) == (6, [0, 7])


def test_uneven_loads_are_found():
    """Two more than somewhere with a free slot is uneven; one more is not."""
    pool = pool_of(2)
    grants = [pool.place(str(n), 0.0) for n in range(4)]
    assert pool.uneven() is None
    pool.release(grants[1].lease)
    assert pool.uneven() is None
    pool.release(grants[3].lease)
    assert pool.uneven().gpu_id == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5))
def test_loads_differ_by_at_most_one(workers, slots):
    """As sessions arrive, on whatever number of workers, no worker is ever two ahead of another."""
    pool = pool_of(workers, slots)
    for n in range(workers * slots):
        assert pool.place(str(n), 0.0) is not None
        assert max(loads(pool)) - min(loads(pool)) <= 1
        pool.check()
    assert pool.place("one more", 0.0) is None


class PoolMachine(RuleBasedStateMachine):
    """Any order of lives, deaths, leases and time, beside a model that counts by itself."""

    @initialize(workers=st.integers(1, 4), slots=st.integers(1, 3))
    def start(self, workers, slots):
        self.pool = Pool(range(workers), lost_after_s=LOST_AFTER_S)
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
        found = self.pool.register(name, register(gpu_id, boot=name.decode(), slots=self.slots), self.now)
        assert {lease for lease, _ in found.leases} == lost if found else not lost
        self.alive[gpu_id], self.heard[gpu_id] = name, self.now
        self.resting.pop(gpu_id, None)

    @rule(gpu_id=st.integers(0, 3), draining=st.booleans(), others=st.integers(0, 2))
    def beat(self, gpu_id, draining, others):
        gpu_id %= self.size
        name = self.alive.get(gpu_id, identity(gpu_id, "dead"))
        beat = heartbeat(*foreign(others), state="draining" if draining else "serving")
        assert self.pool.heartbeat(name, beat, self.now) == (gpu_id in self.alive)
        if gpu_id in self.alive:
            self.heard[gpu_id] = self.now
            (self.draining.add if draining else self.draining.discard)(gpu_id)
            self.foreign[gpu_id] = others

    @rule(gpu_id=st.integers(0, 3))
    def leave(self, gpu_id):
        gpu_id %= self.size
        name = self.alive.get(gpu_id, identity(gpu_id, "dead"))
        lost = self.drop(gpu_id)
        found = self.pool.gone(name, "stopped")
        assert {lease for lease, _ in found.leases} == lost if found else not lost

    @rule(passed_s=st.sampled_from([0.3, 1.0, 2.0]))
    def time(self, passed_s):
        self.now += passed_s
        silent = {gpu_id for gpu_id in self.alive if self.now - self.heard[gpu_id] >= LOST_AFTER_S}
        lost = {gpu_id: self.drop(gpu_id) for gpu_id in silent}
        found = {each.gpu_id: {lease for lease, _ in each.leases} for each in self.pool.expire(self.now)}
        assert found == lost

    @rule(avoid=st.sampled_from([None, 0, 1]))
    def place(self, avoid):
        used = {
            gpu_id: sum(where == gpu_id for where in self.leases.values()) + self.foreign.get(gpu_id, 0)
            for gpu_id in self.alive
            if gpu_id not in self.draining and self.now >= self.resting.get(gpu_id, 0.0)
        }
        free = [gpu_id for gpu_id, count in used.items() if count < self.slots]
        grant = self.pool.place("x", self.now, avoid=() if avoid is None else {f"gpu{avoid}"})
        if not free:
            assert grant is None
            return
        assert grant.gpu_id == min(free, key=lambda gpu_id: (gpu_id == avoid, used[gpu_id], gpu_id))
        assert grant.identity == self.alive[grant.gpu_id]
        assert grant.lease not in self.leases
        self.leases[grant.lease] = grant.gpu_id

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), full=st.booleans())
    def give_back(self, data, full):
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        gpu_id = self.leases.pop(lease)
        if full:
            self.pool.refused(lease, self.now)
            self.resting[gpu_id] = self.now + FULL_REST_S
        else:
            assert self.pool.release(lease).gpu_id == gpu_id
        assert self.pool.release(lease) is None

    @invariant()
    def agree(self):
        if not hasattr(self, "pool"):
            return
        self.pool.check()
        held = {lease: worker.gpu_id for worker in self.pool.workers() for lease in worker.leases}
        assert held == self.leases
        serving = {worker.gpu_id for worker in self.pool.serving()}
        assert serving == set(self.alive) - self.draining
        assert self.pool.total_slots() == self.slots * len(serving)


PoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_pool_machine = PoolMachine.TestCase

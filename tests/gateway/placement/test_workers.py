"""The registry of workers: which are there, which slots are leased, and when a worker is lost."""

import pytest

from gateway.placement.policy import FAILING_AFTER
from gateway.placement.worker_handle import WorkerState
from gateway.placement.workers import FULL_PAUSE_S, WorkerRegistry
from tests.gateway.builders import heartbeat, register

LOST_AFTER_S = 2.0


def identity(gpu_id, boot="a") -> bytes:
    return f"gpu{gpu_id}.{boot}".encode()


def registry_of(workers=4, slots=4) -> WorkerRegistry:
    """Return a registry of serving workers."""
    registry = WorkerRegistry(range(workers), lost_after_s=LOST_AFTER_S)
    for gpu_id in range(workers):
        registry.register(identity(gpu_id), register(gpu_id, slots=slots), 0.0)
    return registry


@pytest.fixture
def registry():
    """Give two workers of two slots; the registry's invariants are checked at the end."""
    registry = registry_of(2, 2)
    yield registry
    registry.check()


def test_expected_workers_are_listed_before_they_register():
    """None of them serves, or has slots."""
    registry = WorkerRegistry(range(4), lost_after_s=LOST_AFTER_S)
    assert [(w.gpu_id, w.state, w.slots) for w in registry.all()] == [(n, WorkerState.EXPECTED, 0) for n in range(4)]
    assert (registry.serving(), registry.total_slots(), registry.ever_served) == ([], 0, False)
    assert registry.acquire("x", 0.0) is None
    registry.check()


def test_a_full_worker_is_not_asked_for_a_while():
    """The lease that it refused is released; a second refusal of the same lease changes nothing."""
    registry = registry_of(1)
    lease = registry.acquire("x", 10.0)
    registry.release_as_full(lease.id, 10.0)
    assert not registry.all()[0].leases
    assert registry.acquire("x", 10.0 + FULL_PAUSE_S - 0.01) is None
    assert registry.acquire("x", 10.0 + FULL_PAUSE_S).gpu_id == 0
    registry.release_as_full(lease.id, 20.0)
    assert registry.acquire("y", 20.0) is not None


@pytest.mark.parametrize(
    ("running_s", "median_s", "lost"), [(5.0, 0.1, False), (5.1, 0.1, True), (9.0, 0.5, False), (10.1, 0.5, True)]
)
def test_a_worker_stuck_in_a_step_is_lost(running_s, median_s, lost):
    """Stuck is a step longer than 5 s and 20 times the median, whatever heartbeats come."""
    registry = registry_of(1)
    registry.acquire("x", 0.0)
    registry.heartbeat(identity(0), heartbeat(running_s=running_s, median_s=median_s), 1.0)
    found = registry.expire(1.0)
    assert bool(found) == lost
    if lost:
        assert "stuck" in found[0].reason


def test_a_lost_worker_must_register_again():
    """Its heartbeats are refused until it has, and its slots are empty then."""
    registry = registry_of(1)
    registry.acquire("x", 0.0)
    registry.expire(10.0)
    assert not registry.heartbeat(identity(0), heartbeat(), 10.0)
    assert registry.register(identity(0), register(0), 10.0) is None
    assert registry.heartbeat(identity(0), heartbeat(), 10.0)
    assert (registry.total_slots(), registry.used_slots(), registry.all()[0].boots) == (4, 0, 1)


def test_a_restarted_worker_replaces_its_former_boot():
    """It loses the leases, and messages of the former boot are ignored."""
    registry = registry_of(1)
    lease = registry.acquire("x", 0.0)
    lost = registry.register(identity(0, "b"), register(0, boot="b"), 1.0)
    assert lost.leases == ((lease.id, "x"),)
    assert not registry.heartbeat(identity(0, "a"), heartbeat(), 1.0)
    assert registry.mark_lost(identity(0, "a"), "late goodbye") is None
    assert (registry.all()[0].boots, registry.total_slots()) == (2, 4)


def test_an_unexpected_worker_serves_too():
    """Its slots count in the totals."""
    registry = registry_of(1)
    registry.register(identity(7), register(7, slots=2), 0.0)
    assert (registry.total_slots(), [worker.gpu_id for worker in registry.all()]) == (6, [0, 7])


def test_the_most_overloaded_worker():
    """It has at least two sessions more than a worker with a free slot."""
    registry = registry_of(2)
    leases = [registry.acquire(str(n), 0.0) for n in range(4)]
    assert registry.most_overloaded() is None
    registry.release(leases[1].id)
    assert registry.most_overloaded() is None
    registry.release(leases[3].id)
    assert registry.most_overloaded().gpu_id == 0


def test_a_failing_worker_is_the_last_choice(registry):
    """One on which several streams in a row have failed gets a session only when no other is free, until it restarts."""
    registry.by_identity(b"gpu0.a").failures = FAILING_AFTER - 1
    assert registry.acquire("a", 0.0).gpu_id == 0
    registry.by_identity(b"gpu0.a").failures = FAILING_AFTER
    assert [registry.acquire(name, 0.0).gpu_id for name in "bcd"] == [1, 1, 0]
    registry.register(identity(0, "b"), register(0, boot="b", slots=2), 0.0)
    assert registry.acquire("e", 0.0).gpu_id == 0


def test_a_barred_worker_is_never_chosen(registry):
    """Not even if it is the last one with a free slot, as one to avoid is."""
    assert [registry.acquire(name, 0.0, barred={"gpu0"}).gpu_id for name in "ab"] == [1, 1]
    assert registry.acquire("c", 0.0, barred={"gpu0"}) is None
    assert registry.acquire("c", 0.0, avoid={"gpu0"}).gpu_id == 0


def test_a_session_in_a_hurry_goes_where_the_weights_are(registry):
    """While there is room; any other session goes to the emptiest worker."""
    registry.heartbeat(identity(0), heartbeat(weights="host"), 0.0)
    registry.heartbeat(identity(1), heartbeat(weights="device"), 0.0)
    assert [registry.acquire(name, 0.0, hurry=True).gpu_id for name in "abc"] == [1, 1, 0]
    assert registry.acquire("d", 0.0).gpu_id == 0


@pytest.mark.parametrize(("weights", "lost_after_s"), [("device", 2.0), ("host", 2.0), ("loading", 6.0)])
def test_a_loading_worker_may_be_silent_longer(registry, weights, lost_after_s):
    """Three times as long as others, if its last heartbeat said that it loads its weights."""
    registry.heartbeat(identity(0), heartbeat(weights=weights), 0.0)
    registry.by_identity(identity(1)).last_seen = 100.0
    assert registry.expire(lost_after_s - 0.1) == []
    (lost,) = registry.expire(lost_after_s)
    assert (lost.worker, lost.last_seen, lost.died) == ("gpu0", 0.0, True)


def test_a_worker_that_was_only_silent_may_be_silent_longer(registry):
    """Twice as long, for half a minute after it was heard again; one that restarted may not."""
    registry.by_identity(identity(1)).last_seen = 1000.0
    (lost,) = registry.expire(2.0)
    assert (lost.worker, lost.silent) == ("gpu0", True)
    registry.register(identity(0), register(0, slots=2), 2.1)
    assert registry.expire(6.0) == []
    assert [each.worker for each in registry.expire(6.2)] == ["gpu0"]
    registry.register(identity(0), register(0, slots=2), 10.0)
    registry.by_identity(identity(0)).last_seen = 40.0
    assert [each.worker for each in registry.expire(42.0)] == ["gpu0"]
    registry.register(identity(0, "b"), register(0, boot="b", slots=2), 50.0)
    assert [each.worker for each in registry.expire(52.0)] == ["gpu0"]


def test_a_worker_that_says_goodbye_has_not_died(registry):
    """Its sessions are not to blame."""
    lease = registry.acquire("a", 0.0)
    lost = registry.mark_lost(identity(0), "stopped", died=False)
    assert (lost.died, lost.reason, lost.leases) == (False, "stopped", ((lease.id, "a"),))


def test_known_slots_outlive_their_workers(registry):
    """As many sessions may wait as there have been slots, also when every worker is lost."""
    for gpu_id in range(2):
        registry.mark_lost(identity(gpu_id), "cannot be reached")
    assert (registry.total_slots(), registry.known_slots()) == (0, 4)

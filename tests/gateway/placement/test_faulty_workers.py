"""Workers on which everything fails, and the sessions that may be why."""

import pytest

from gateway.placement.policy import FAILING_AFTER
from gateway.placement.workers import WorkerRegistry
from tests.gateway.builders import heartbeat, register


@pytest.fixture
def registry():
    """Give two workers of two slots; what must hold is checked at the end."""
    registry = WorkerRegistry(range(2), lost_after_s=2.0)
    for gpu_id in range(2):
        registry.register(b"%d" % gpu_id, register(gpu_id, slots=2), 0.0)
    yield registry
    registry.check()


def test_failures_repel(registry):
    """A worker on which streams fail in a row is taken only when nothing else is free, until it is a new one."""
    registry.by_identity(b"0").failures = FAILING_AFTER - 1
    assert registry.acquire("a", 0.0).gpu_id == 0
    registry.by_identity(b"0").failures = FAILING_AFTER
    assert [registry.acquire(name, 0.0).gpu_id for name in "bcd"] == [1, 1, 0]
    registry.register(b"0'", register(0, boot="b", slots=2), 0.0)
    assert registry.acquire("e", 0.0).gpu_id == 0


def test_barred_means_never(registry):
    """A barred worker is not taken even if it is the last one with a free slot."""
    assert registry.acquire("a", 0.0, barred={"gpu0"}).gpu_id == 1
    assert registry.acquire("b", 0.0, barred={"gpu0"}).gpu_id == 1
    assert registry.acquire("c", 0.0, barred={"gpu0"}) is None
    assert registry.acquire("c", 0.0, avoid={"gpu0"}).gpu_id == 0


@pytest.mark.parametrize(("weights", "lost_after_s"), [("device", 2.0), ("host", 2.0), ("loading", 6.0)])
def test_a_load_is_given_longer(registry, weights, lost_after_s):
    """A worker that said it loads its weights may be silent three times as long."""
    beat = heartbeat()
    for identity in (b"0", b"1"):
        registry.heartbeat(identity, beat, 0.0)
    registry.by_identity(b"0").heartbeat = type(beat)(
        **{name: getattr(beat, name) for name in beat.__dataclass_fields__} | {"weights": weights}
    )
    registry.by_identity(b"1").last_seen = 100.0
    assert registry.expire(lost_after_s - 0.1) == []
    (lost,) = registry.expire(lost_after_s)
    assert (lost.worker, lost.last_seen, lost.died) == ("gpu0", 0.0, True)


def test_who_comes_back_alive_is_given_longer(registry):
    """A worker that was silent and yet lives may be silent twice as long for half a minute; one that died may not."""
    registry.by_identity(b"1").last_seen = 1000.0
    (lost,) = registry.expire(2.0)
    assert (lost.worker, lost.silent) == ("gpu0", True)
    registry.register(b"0", register(0, slots=2), 2.1)
    assert registry.expire(6.0) == []
    assert [each.worker for each in registry.expire(6.2)] == ["gpu0"]
    registry.register(b"0", register(0, slots=2), 10.0)
    registry.by_identity(b"0").last_seen = 40.0
    assert [each.worker for each in registry.expire(42.0)] == ["gpu0"]
    registry.register(b"0'", register(0, boot="b", slots=2), 50.0)
    assert [each.worker for each in registry.expire(52.0)] == ["gpu0"]


def test_a_hurry_goes_where_the_weights_are(registry):
    """A session that lost its worker goes to one that need not load, while it has room; a new one to the emptiest."""
    beat = heartbeat()
    cold = type(beat)(**{name: getattr(beat, name) for name in beat.__dataclass_fields__} | {"weights": "host"})
    registry.heartbeat(b"0", cold, 0.0)
    registry.heartbeat(b"1", beat, 0.0)
    assert [registry.acquire(name, 0.0, hurry=True).gpu_id for name in "abc"] == [1, 1, 0]
    assert registry.acquire("d", 0.0).gpu_id == 0


def test_a_goodbye_is_no_death(registry):
    """Who says goodbye did not die: its sessions are not to blame."""
    registry.acquire("a", 0.0)
    lost = registry.mark_lost(b"0", "stopped", died=False)
    assert (lost.died, [session for _, session in lost.leases]) == (False, ["a"])


def test_known_slots_outlive_their_workers(registry):
    """The line is as long as the slots there were, also when every worker is gone."""
    for identity in (b"0", b"1"):
        registry.mark_lost(identity, "cannot be reached")
    assert (registry.total_slots(), registry.known_slots()) == (0, 4)

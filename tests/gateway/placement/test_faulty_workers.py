"""Workers on which everything fails, and the sessions that may be why."""

import pytest

from gateway.placement.workers import AILING, Pool
from tests.gateway.builders import heartbeat, register


@pytest.fixture
def pool():
    """Give two workers of two slots; what must hold is checked at the end."""
    pool = Pool(range(2), lost_after_s=2.0)
    for gpu_id in range(2):
        pool.register(b"%d" % gpu_id, register(gpu_id, slots=2), 0.0)
    yield pool
    pool.check()


def test_failures_repel(pool):
    """A worker on which streams fail in a row is taken only when nothing else is free, until it is a new one."""
    pool.by_identity(b"0").failures = AILING - 1
    assert pool.place("a", 0.0).gpu_id == 0
    pool.by_identity(b"0").failures = AILING
    assert [pool.place(name, 0.0).gpu_id for name in "bcd"] == [1, 1, 0]
    pool.register(b"0'", register(0, boot="b", slots=2), 0.0)
    assert pool.place("e", 0.0).gpu_id == 0


def test_barred_means_never(pool):
    """A barred worker is not taken even if it is the last one with a free slot."""
    assert pool.place("a", 0.0, barred={"gpu0"}).gpu_id == 1
    assert pool.place("b", 0.0, barred={"gpu0"}).gpu_id == 1
    assert pool.place("c", 0.0, barred={"gpu0"}) is None
    assert pool.place("c", 0.0, avoid={"gpu0"}).gpu_id == 0


@pytest.mark.parametrize(("weights", "lost_after_s"), [("device", 2.0), ("host", 2.0), ("loading", 6.0)])
def test_a_load_is_given_longer(pool, weights, lost_after_s):
    """A worker that said it loads its weights may be silent three times as long."""
    beat = heartbeat()
    for identity in (b"0", b"1"):
        pool.heartbeat(identity, beat, 0.0)
    pool.by_identity(b"0").beat = type(beat)(
        **{name: getattr(beat, name) for name in beat.__dataclass_fields__} | {"weights": weights}
    )
    pool.by_identity(b"1").heard = 100.0
    assert pool.expire(lost_after_s - 0.1) == []
    (lost,) = pool.expire(lost_after_s)
    assert (lost.worker, lost.heard, lost.died) == ("gpu0", 0.0, True)


def test_who_comes_back_alive_is_given_longer(pool):
    """A worker that was silent and yet lives may be silent twice as long for half a minute; one that died may not."""
    pool.by_identity(b"1").heard = 1000.0
    (lost,) = pool.expire(2.0)
    assert (lost.worker, lost.silent) == ("gpu0", True)
    pool.register(b"0", register(0, slots=2), 2.1)
    assert pool.expire(6.0) == []
    assert [each.worker for each in pool.expire(6.2)] == ["gpu0"]
    pool.register(b"0", register(0, slots=2), 10.0)
    pool.by_identity(b"0").heard = 40.0
    assert [each.worker for each in pool.expire(42.0)] == ["gpu0"]
    pool.register(b"0'", register(0, boot="b", slots=2), 50.0)
    assert [each.worker for each in pool.expire(52.0)] == ["gpu0"]


def test_a_hurry_goes_where_the_weights_are(pool):
    """A session that lost its worker goes to one that need not load, while it has room; a new one to the emptiest."""
    beat = heartbeat()
    cold = type(beat)(**{name: getattr(beat, name) for name in beat.__dataclass_fields__} | {"weights": "host"})
    pool.heartbeat(b"0", cold, 0.0)
    pool.heartbeat(b"1", beat, 0.0)
    assert [pool.place(name, 0.0, hurry=True).gpu_id for name in "abc"] == [1, 1, 0]
    assert pool.place("d", 0.0).gpu_id == 0


def test_a_goodbye_is_no_death(pool):
    """Who says goodbye did not die: its sessions are not to blame."""
    pool.place("a", 0.0)
    lost = pool.gone(b"0", "stopped", died=False)
    assert (lost.died, [session for _, session in lost.leases]) == (False, ["a"])


def test_known_slots_outlive_their_workers(pool):
    """The line is as long as the slots there were, also when every worker is gone."""
    for identity in (b"0", b"1"):
        pool.gone(identity, "cannot be reached")
    assert (pool.total_slots(), pool.known_slots()) == (0, 4)

"""Sessions that are migrated from draining and overloaded workers."""

from gateway.placement.policy import FAILING_AFTER
from gateway.sessions.poison import MAX_DEATHS
from gateway.sessions.state import State
from tests.gateway.exchange import Exchange
from tests.gateway.placement.helpers import reported, suspect
from tests.scripted_recognizer import say


def test_a_draining_worker_is_emptied(exchange):
    """Its sessions are migrated while audio comes in, without a gap in the words."""
    client = exchange.client().join()
    exchange.run(2)
    client.say(say(["one", "two"]).pcm.tobytes())
    exchange.workers[0].draining = True
    exchange.run(4)
    assert client.session.gpu_id == 1
    assert len(exchange.workers[0].table) == 0
    client.say(say(["river", 0.6]).pcm.tobytes())
    client.end()
    exchange.run(10)
    assert "".join(each.text for segment in client.session.transcript.segments for each in segment.words) == (
        " one two river"
    )


def test_loads_are_balanced(exchange):
    """When a worker comes back empty, sessions that pause are migrated there until loads differ by at most one."""
    clients = [exchange.client().join() for _ in range(2)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 0]
    exchange.boot(1)
    exchange.run(20)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [1, 1]
    assert {client.session.state for client in clients} == {State.READY}


def test_a_migrated_suspect_shares_no_worker_with_another(exchange):
    """A session that one more death ends stays where it is; others are migrated meanwhile."""
    last_chance, other, third = (exchange.client().join() for _ in range(3))
    exchange.run(2)
    assert [each.session.gpu_id for each in (last_chance, other, third)] == [0, 1, 0]
    suspect(last_chance, MAX_DEATHS - 1)
    suspect(other, 1)
    for worker in exchange.workers.values():
        worker.frozen = True  # that audio is not decoded
    exchange.manager.on_worker_message(exchange.workers[0].identity, reported(exchange.workers[0], state="draining"))
    exchange.manager.on_tick(exchange.clock.now)
    assert last_chance.session.migration_lease is None
    assert third.session.migration_lease is not None


def test_a_failing_worker_does_not_count_in_balancing():
    """While it stays empty, sessions do not change places between the other workers."""
    exchange = Exchange(workers=3, slots=4).boot_all()
    exchange.registry.all()[1].failures = FAILING_AFTER
    clients = [exchange.client().join() for _ in range(4)]
    exchange.run(60)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 0, 2]
    assert [client.session.moves for client in clients] == [0, 0, 0, 0]

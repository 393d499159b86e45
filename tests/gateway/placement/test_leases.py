"""Sessions that wait for a slot, in order."""

import time

from gateway.sessions.poison import MAX_DEATHS
from gateway.sessions.state import State
from shared import messages as m
from tests.gateway.exchange import Exchange
from tests.gateway.placement.helpers import suspect
from tests.gateway.readers import read_statuses


def test_clients_that_connect_before_the_first_worker_wait():
    """They are served in the order in which they came."""
    exchange = Exchange()
    clients = [exchange.client().join() for _ in range(3)]
    exchange.run(3)
    assert list(exchange.manager.coordinator.leases.waiting) == [client.client_session for client in clients]
    exchange.hear(exchange.boot(1))
    exchange.run(2)
    assert [client.session.state for client in clients] == [State.READY, State.READY, State.WAITING]
    exchange.hear(exchange.boot(0))
    exchange.run(2)
    assert clients[2].session.gpu_id == 0


def test_sessions_that_lost_their_slot_wait(exchange):
    """They get the first slots that become free, in order."""
    clients = [exchange.client().join() for _ in range(4)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    waiting = [client for client in clients if client.session.state is State.WAITING]
    assert len(waiting) == 2
    assert "Waiting for a free GPU..." in read_statuses(waiting[0])
    next(client for client in clients if client.session.state is State.READY).leave()
    exchange.run(2)
    assert waiting[0].session.state is State.READY
    assert waiting[1].session.state is State.WAITING


def test_a_waiting_session_that_is_resumed_waits_once(exchange):
    """However often its client loses the network, it gets one slot."""
    clients = [exchange.client().join() for _ in range(4)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    (first, second) = [client for client in clients if client.session.state is State.WAITING]
    for _ in range(3):
        first.lose_network()
        assert first.come_back()
    exchange.boot(1)
    exchange.run(3)
    assert (first.session.state, second.session.state) == (State.READY, State.READY)
    assert exchange.registry.used_slots() == 4


def tick_s(exchange) -> float:
    """Return the processor time of the fastest of some ticks."""
    found = []
    for _ in range(7):
        began = time.thread_time()
        exchange.manager.on_tick(exchange.clock.now)
        found.append(time.thread_time() - began)
    return min(found)


def test_suspects_in_a_long_queue_cost_nothing():
    """While no slot is free, a tick with eighty suspected sessions is about as fast as without suspects."""
    exchange = Exchange(workers=2, slots=80).boot_all()
    clients = [exchange.client().join() for _ in range(160)]
    exchange.run(1)
    exchange.workers[1].send(m.Goodbye("stopped"))
    exchange.hear(exchange.workers[1])
    exchange.workers[1].alive = False
    plain_s = tick_s(exchange)
    for client in clients:
        suspect(client, MAX_DEATHS - 1)
    assert len(exchange.manager.coordinator.leases.waiting) == 80
    assert tick_s(exchange) < 2 * plain_s

"""Sessions that outlive their workers; every lease is released."""

import inspect
import json
import sys

import pytest

from gateway.sessions.commands import CloseConnection
from gateway.sessions.poison import MAX_DEATHS
from gateway.sessions.state import State
from shared import messages as m
from shared import wire
from tests.gateway.builders import heartbeat, register
from tests.gateway.exchange import Client, Exchange
from tests.gateway.placement.helpers import reported
from tests.gateway.readers import Reader, read_statuses
from tests.scripted_recognizer import say


@pytest.mark.parametrize("how", ["silence", "restart", "goodbye", "unreachable"])
def test_no_word_is_lost_with_a_worker(exchange, how):
    """However a worker ends, its sessions go on elsewhere; the client is told of it, and gets every word once."""
    client = exchange.client().join()
    exchange.run(2)
    words = ["one", "two", "river", "stone", "woodcutters", "green"]
    client.say(say(words[:3]).pcm.tobytes())
    exchange.run(2)
    worker = exchange.workers[0]
    if how == "restart":
        exchange.boot(0)
    elif how == "goodbye":
        worker.send(m.Goodbye("stopped"))
        exchange.hear(worker)
        worker.alive = False
    else:
        worker.alive = False
        if how == "unreachable":
            exchange.link.unreachable.add(worker.identity)
    client.say(say([*words[3:], 0.6]).pcm.tobytes())
    exchange.run(12)
    assert client.session.gpu_id == 1 or how == "restart"
    client.end()
    exchange.run(10)
    reader = Reader()
    reader([json.loads(text) for text in client.read()])
    assert reader.text == "".join(words)
    assert "moved" in reader.types
    assert client.session.moves == 1
    (move,) = exchange.statistics.recent_moves
    assert (move.connection, move.reason, move.from_gpu) == (client.session.id, "worker_lost", 0)


def test_a_message_about_a_revoked_lease_is_ignored(exchange):
    """A worker that was lost and is heard again has no say about sessions that have moved."""
    client = exchange.client().join()
    exchange.run(2)
    worker = exchange.workers[0]
    client.say(say(["one", "two", 0.6]).pcm.tobytes())
    worker.work(steps=5)
    worker.frozen = True
    exchange.clock.now += 3.0
    exchange.manager.on_tick(exchange.clock.now)
    exchange.hear(worker)
    assert client.session.transcript.words == 0
    worker.frozen = False
    exchange.run(10)
    client.end()
    exchange.run(10)
    assert client.session.transcript.words == 2
    assert exchange.registry.total_slots() == 4
    assert len(worker.table) == 0


def test_a_stream_that_fails_everywhere_ends_only_its_session(exchange):
    """It fails three times, then its session ends with an error; the one beside it goes on."""
    bad, good = exchange.client().join(), exchange.client().join()
    exchange.run(2)
    bad.say(say(["one", "poison", 1.0]).pcm.tobytes())
    good.say(say(["two", "river", 1.0]).pcm.tobytes())
    good.end()
    exchange.run(20)
    assert bad.session.error.code == "recognition_failed"
    assert bad.hangup.code == 1011
    assert (good.session.outcome, good.session.transcript.words) == ("complete", 2)


def test_a_full_worker_is_skipped(exchange):
    """The session gets a slot on the next one; the full one is asked again after a pause."""
    exchange.workers[0].refusing = True
    client = exchange.client().join()
    exchange.run(3)
    assert (client.session.state, client.session.gpu_id) == (State.READY, 1)
    assert "Released GPU 0 from connection c0" in [event["event"] for event in exchange.log.events]
    exchange.workers[0].refusing = False
    assert exchange.client().join().session.gpu_id == 0


def test_a_worker_that_never_finishes_loading_is_lost(exchange):
    """Its sessions go to another; it is taken back when its weights are on the device."""
    stalled = exchange.workers[0]
    stalled.opening, stalled.weights = False, "loading"
    client = exchange.client(open_wait_s=3.0).join()
    client.say(say(["one", "two", 1.0]).pcm.tobytes())
    exchange.run(5)
    assert read_statuses(client)[-1] == "Loading models on GPU 0..."
    exchange.run(15)
    assert read_statuses(client) == ["Loading models on GPU 1...", "Ready to transcribe"]
    assert client.session.transcript.words == 2
    assert [worker.gpu_id for worker in exchange.registry.serving()] == [1]
    assert exchange.client().join().session.gpu_id == 1
    stalled.opening, stalled.weights = True, "device"
    exchange.run(2)
    assert [worker.gpu_id for worker in exchange.registry.serving()] == [0, 1]
    assert not client.session.poison.suspected


def test_a_lease_that_is_not_opened_is_revoked(exchange):
    """A worker that has its weights and does not open or prepare a stream in time loses that lease."""
    stalled = exchange.workers[0]
    stalled.opening = False
    client = exchange.client(open_wait_s=3.0).join()
    exchange.run(12)
    assert (client.session.state, client.session.gpu_id) == (State.READY, 1)
    assert exchange.log.of("stream_lost")[0]["cause"] == "not_ready"
    exchange.workers[1].draining = True
    exchange.run(3)
    held = client.session.migration_lease
    assert held is not None
    exchange.run(12)
    assert client.session.migration_lease != held
    assert (client.session.state, client.session.gpu_id) == (State.READY, 1)


def test_a_silent_worker_is_held_against_a_session_until_it_speaks(exchange):
    """When it sends a heartbeat again, it has not died of the session."""
    client = exchange.client().join()
    exchange.run(2)
    exchange.workers[0].frozen = True
    client.say(say(["one", "two", 1.0]).pcm.tobytes())
    exchange.run(7)
    assert (client.session.gpu_id, client.session.transcript.words) == (1, 2)
    exchange.workers[1].frozen = True
    client.say(say(["river", 1.0]).pcm.tobytes())
    exchange.run(7)
    assert client.session.poison.workers == {"gpu0", "gpu1"}
    exchange.workers[0].frozen = exchange.workers[1].frozen = False
    for worker in exchange.workers.values():
        worker.beat()
        exchange.hear(worker)
        worker.work(steps=0)
        exchange.hear(worker)
    assert not client.session.poison.suspected
    assert client.session.decoded < client.session.received


def test_a_long_step_counts_less_than_a_death(exchange):
    """A worker that is lost for it can still be reached; nor is it retracted when the worker registers again."""
    client = exchange.client().join()
    exchange.run(2)
    client.say(say(["one", "two", 1.0]).pcm.tobytes())
    for _ in range(MAX_DEATHS):
        worker = exchange.workers[client.session.gpu_id]
        exchange.manager.on_worker_message(worker.identity, reported(worker, running_s=9.0))
        exchange.manager.on_tick(exchange.clock.now)
        for each in exchange.workers.values():
            each.work(steps=0)
            each.beat()
            exchange.hear(each)
            each.work(steps=0)
            exchange.hear(each)
    assert client.session.poison.losses == MAX_DEATHS
    assert client.session.state is not State.ENDED


def test_a_session_that_its_worker_forgot_is_placed_anew(exchange):
    """A lease that the worker's heartbeats do not report is lost."""
    client = exchange.client().join()
    exchange.run(2)
    table = exchange.workers[0].table
    table.close(table.of(0)[0])
    exchange.run(4)
    assert (client.session.state, client.session.moves) == (State.READY, 1)


def test_a_worker_of_another_protocol_is_refused():
    """It gets no session, and the log says why."""
    exchange = Exchange(workers=1)
    exchange.manager.on_worker_message(b"gpu0.x", register(0, protocol=99))
    assert exchange.registry.total_slots() == 0
    assert "protocol 99" in exchange.log.of("worker_refused")[0]["event"]


def test_messages_of_unknown_senders_and_leases_are_ignored(exchange):
    """Nor does a message change anything that a worker never sends."""
    client = exchange.client().join()
    exchange.run(2)
    exchange.manager.on_worker_message(b"unknown", m.NoFreeSlot(client.session.lease))
    exchange.manager.on_worker_message(b"unknown", m.Finished(client.session.lease, m.AudioAccounting(0, 0, 0)))
    exchange.manager.on_worker_message(b"unknown", m.Goodbye("x"))
    exchange.manager.on_worker_message(exchange.workers[0].identity, m.Opened(999, 1.0))
    exchange.manager.on_worker_message(exchange.workers[0].identity, m.Close(client.session.lease))
    exchange.manager.on_worker_message(b"unknown", heartbeat())
    assert client.session.state is State.READY
    assert len(exchange.log.of("odd_message")) == 1


def test_sessions_of_an_unsupported_language_are_refused_when_the_model_is_known():
    """However many were accepted before any worker told its languages: each ends before the GPU is used."""
    exchange = Exchange(workers=1)
    clients = [exchange.client(language="klingon").join() for _ in range(400)]
    exchange.hear(exchange.boot(0))
    assert {(client.session.error.code, client.hangup.code) for client in clients} == {("bad_parameter", 4400)}
    assert exchange.registry.used_slots() == 0
    exchange.run()
    assert len(exchange.workers[0].table) == 0
    exchange.check_log()


def test_a_lost_close_is_sent_again(exchange):
    """A slot whose close was lost, in use or prepared, is freed after the worker's next heartbeat."""
    client = exchange.client().join()
    exchange.run(2)
    first, second = exchange.workers.values()
    second.opening = False
    first.draining = True
    exchange.run(1)
    second.work()
    assert [len(worker.table) for worker in (first, second)] == [1, 1]
    client.leave()
    for worker in (first, second):
        assert wire.decode(worker.inbox.pop()) in (m.Close(1), m.Close(2))
    exchange.run(2)
    assert [len(worker.table) for worker in (first, second)] == [0, 0]


def test_unreachable_workers_take_no_stack():
    """A session finds three hundred workers unreachable one after the other, within 60 stack frames."""
    exchange = Exchange(workers=300, slots=1).boot_all()
    exchange.link.unreachable = set(exchange.link.workers)
    depth = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        client = exchange.client().join()
    finally:
        sys.setrecursionlimit(limit)
    assert exchange.registry.serving() == []
    assert client.session.state is State.ENDED or client.client_session in exchange.manager.coordinator.leases.waiting


def test_a_command_that_raises_does_not_abort_the_others(exchange, monkeypatch):
    """The error is logged, and the commands behind it are executed."""
    client = exchange.client().join()
    exchange.run(2)
    monkeypatch.setattr(exchange.manager.coordinator, "_send_to_worker", lambda _: 1 / 0)
    client.perform([*client.session.on_audio(b"\x01\x00" * 320, 0.0), CloseConnection(1000, "")])
    assert client.hangup == CloseConnection(1000, "")
    assert len(exchange.log.of("action_failed")) == 1


def test_a_session_is_not_refused_for_a_worker_it_never_reached():
    """A dead worker whose model lacks the language ends no session: another one is found, as if it had been gone."""
    exchange = Exchange(workers=2, slots=1)
    exchange.hear(exchange.boot(0, languages=("en",)))
    exchange.hear(exchange.boot(1, languages=("de", "en")))
    exchange.link.unreachable = {exchange.workers[0].identity}
    client = Client(exchange, "c", language="de")
    exchange.clients.append(client)
    client.join()
    exchange.run(2)
    assert (client.session.state, client.session.gpu_id) == (State.READY, 1)


def test_nothing_follows_a_message_that_did_not_get_through():
    """What a session has for a worker that cannot be reached goes to the next worker alone, from its first message."""
    exchange = Exchange(workers=2, slots=1)
    client = exchange.client().join()
    client.say(say(["one", "two", "river"] * 4).pcm.tobytes())
    sent, send = [], exchange.link.send
    exchange.link.send = lambda identity, message: (sent.append((identity, message)), send(identity, message))[1]
    dead, alive = exchange.boot(0), exchange.boot(1)
    exchange.link.unreachable = {dead.identity}
    exchange.hear(dead)
    exchange.hear(alive)
    kinds = [(identity, type(each)) for identity, each in sent if isinstance(each, m.Open | m.Audio)]
    assert [kind for identity, kind in kinds if identity == dead.identity] == [m.Open]
    assert [kind for identity, kind in kinds if identity == alive.identity][:2] == [m.Open, m.Audio]

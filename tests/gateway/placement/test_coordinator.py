"""The switchboard: the guide's log sentences to the letter, every lease given back, sessions that outlive workers."""

import inspect
import json
import sys
import time

import pytest

from gateway.monitoring.log_observer import LogObserver
from gateway.monitoring.statistics import Statistics
from gateway.placement.events import ConnectionAccepted
from gateway.placement.policy import FAILING_AFTER
from gateway.session_manager import restarting
from gateway.sessions.commands import CloseConnection
from gateway.sessions.poison import MAX_DEATHS
from gateway.sessions.state import State
from shared import logs, wire
from shared import messages as m
from tests.gateway.builders import heartbeat, register
from tests.gateway.exchange import Exchange
from tests.gateway.readers import Reader
from tests.scripted_recognizer import say


@pytest.fixture
def exchange():
    """Give two workers of two slots, and pair allocations with releases at the end."""
    exchange = Exchange().boot_all()
    yield exchange
    for client in exchange.clients:
        client.leave()
    exchange.check()
    exchange.check_log()


def texts(client, kind="status", key="message") -> list:
    return [message[key] for message in map(json.loads, client.read()) if message.get("type") == kind]


def sentences(exchange) -> list[str]:
    return [event["event"] for event in exchange.log.events]


# --- the log ----------------------------------------------------------------------------------------------------


def test_the_guides_sentences(capsys):
    """Each step of a connection is logged as the guide shows it, with its figure, and with every value as a field."""
    exchange = Exchange(workers=1).boot_all()
    logs.configure(log_format="json", level="info")
    client = exchange.client()
    exchange.manager.observers.observe(ConnectionAccepted(client.session.id, 3.0))
    exchange.clock.now = 0.004
    client.join(accept_ms=3.0)
    worker = exchange.workers[0]
    exchange.clock.now = 0.214
    worker.work()
    exchange.hear(worker)
    client.leave()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [
        "Connection c0: WebSocket accepted (3ms)",
        "Allocated GPU 0 to connection c0",
        "Connection c0: GPU 0 allocated (1ms)",
        "Connection c0: TranscriptionEngine loaded (210ms)",
        "Released GPU 0 from connection c0",
        "session closed",
    ]
    assert [line["event_id"] for line in lines] == [
        "websocket_accepted",
        "gpu_allocated",
        "allocation_timed",
        "engine_loaded",
        "gpu_released",
        "session_closed",
    ]
    assert {line["connection"] for line in lines} == {"c0"}
    assert [lines[0]["accept_ms"], lines[2]["allocate_ms"], lines[3]["load_ms"], lines[3]["setup_ms"]] == [
        3.0,
        1.0,
        210.0,
        214.0,
    ]
    assert (lines[1]["gpu_id"], lines[1]["lease"]) == (lines[4]["gpu_id"], lines[4]["lease"]) == (0, 1)


def test_a_refusal_is_logged_in_the_guides_words(exchange):
    """The fifth session of four slots is told so, and the log has the sentence to look for."""
    for _ in range(4):
        exchange.client().join()
    exchange.run(3)
    fifth = exchange.client().join()
    assert sentences(exchange).count("No GPU resources available") == 1
    assert fifth.hangup.code == 1013
    assert texts(fifth, "error", "error") == ["No GPU resources available"]
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 2]


def test_one_line_sums_a_session_up(exchange):
    """At its end a session is one line: audio, words, outcome, where it ran, the close code."""
    client = exchange.client().join()
    speech = say(["one", "two", 1.0])
    client.say(speech.pcm.tobytes())
    client.end()
    exchange.run(8)
    client.leave()
    (line,) = exchange.log.of("session_closed")
    assert (line["outcome"], line["words"], line["gpu_id"], line["close_code"]) == ("complete", 2, 0, 1000)
    assert line["received"] == line["transcribed"] + line["silence"] == len(speech.pcm)
    assert (line["dropped"], line["dropped_reason"], line["moves"]) == (0, None, 0)


def test_a_client_that_just_leaves_is_no_completed_transcript(exchange):
    """Who closes without an end has left, even if nothing was dropped."""
    client = exchange.client().join()
    exchange.run(2)
    client.leave()
    assert exchange.log.of("session_closed")[0]["outcome"] == "client_left"


# --- words ------------------------------------------------------------------------------------------------------


def test_two_people_get_their_own_words(exchange):
    """Sessions on both workers at once, each with its own audio, get their own words and their own end."""
    people = {exchange.client().join(): ["one", "river", "stone"], exchange.client().join(): ["two", "green", "cloud"]}
    for client, words in people.items():
        client.say(say([*words, 0.6]).pcm.tobytes(), cut=777)
        client.end()
    exchange.run(10)
    for client, words in people.items():
        reader = Reader()
        reader([json.loads(text) for text in client.read()])
        assert reader.text == "".join(words)
        assert reader.types[-1] == "ready_to_stop"
        assert client.hangup.code == 1000
    assert {client.session.gpu_id for client in people} == {0, 1}


def test_statuses_come_in_order(exchange):
    """The four statuses, in the guide's words, whatever is loaded already."""
    for _ in range(2):
        client = exchange.client().join()
        exchange.run(2)
        gpu_id = client.session.gpu_id
        assert texts(client) == [
            "Connected",
            "Allocating GPU...",
            f"Loading models on GPU {gpu_id}...",
            "Ready to transcribe",
        ]


def test_a_full_journal_holds_the_client_back():
    """With a worker that decodes nothing, no more is taken than the bound; when it goes on, so does the client."""
    exchange = Exchange(workers=1, lost_after_s=1e9).boot_all()
    client = exchange.client(journal_s=40.0).join()
    exchange.run()
    exchange.workers[0].frozen = True
    speech = say(["one", "two", 0.6] * 40)
    client.say(speech.pcm.tobytes())
    assert client.session.received == 40 * m.SAMPLE_RATE
    client.end()
    exchange.run(3)
    assert client.session.received == 40 * m.SAMPLE_RATE
    exchange.workers[0].frozen = False
    exchange.run(200)
    assert client.session.outcome == "complete"
    assert client.session.transcript.words == 80


# --- workers that come and go -----------------------------------------------------------------------------------


def test_people_may_be_earlier_than_workers():
    """Whoever connects before the first worker waits, and is served in order of arrival."""
    exchange = Exchange()
    people = [exchange.client().join() for _ in range(3)]
    exchange.run(3)
    assert exchange.manager.waiting == [person.session.id for person in people]
    exchange.hear(exchange.boot(1))
    exchange.run(2)
    assert [person.session.state for person in people] == [State.READY, State.READY, State.WAITING]
    exchange.hear(exchange.boot(0))
    exchange.run(2)
    assert people[2].session.gpu_id == 0


@pytest.mark.parametrize("how", ["silence", "restart", "goodbye", "unreachable"])
def test_a_worker_that_goes_takes_no_words_with_it(exchange, how):
    """However a worker goes, its sessions go on elsewhere; the client sees a status, and every word once."""
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


def test_a_late_message_of_an_old_lease_is_nobodys(exchange):
    """A worker that was lost and comes back cannot speak for sessions that have moved."""
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


def test_a_stream_that_fails_everywhere_ends_alone(exchange):
    """What kills its stream three times is ended with an error; the one beside it goes on."""
    bad, good = exchange.client().join(), exchange.client().join()
    exchange.run(2)
    bad.say(say(["one", "poison", 1.0]).pcm.tobytes())
    good.say(say(["two", "river", 1.0]).pcm.tobytes())
    good.end()
    exchange.run(20)
    assert bad.session.error.code == "recognition_failed"
    assert bad.hangup.code == 1011
    assert (good.session.outcome, good.session.transcript.words) == ("complete", 2)


def test_a_full_worker_is_passed_over(exchange):
    """A worker that has no slot after all is released and the next one is asked; it comes back after a rest."""
    exchange.workers[0].refusing = True
    client = exchange.client().join()
    exchange.run(3)
    assert (client.session.state, client.session.gpu_id) == (State.READY, 1)
    assert "Released GPU 0 from connection c0" in sentences(exchange)
    exchange.workers[0].refusing = False
    assert exchange.client().join().session.gpu_id == 0


def test_an_endless_load_is_left(exchange):
    """A worker that lives but never ends its load loses its sessions to another, and is back when it has loaded."""
    stalled = exchange.workers[0]
    stalled.opening, stalled.weights = False, "loading"
    client = exchange.client(open_wait_s=3.0).join()
    client.say(say(["one", "two", 1.0]).pcm.tobytes())
    exchange.run(5)
    assert texts(client)[-1] == "Loading models on GPU 0..."
    exchange.run(15)
    assert texts(client) == ["Loading models on GPU 1...", "Ready to transcribe"]
    assert client.session.transcript.words == 2
    assert [worker.gpu_id for worker in exchange.registry.serving()] == [1]
    assert exchange.client().join().session.gpu_id == 1
    stalled.opening, stalled.weights = True, "device"
    exchange.run(2)
    assert [worker.gpu_id for worker in exchange.registry.serving()] == [0, 1]
    assert not client.session.poison.suspected


def test_a_slot_that_does_not_get_ready_is_left(exchange):
    """A worker that has its weights and yet does not open a session, or a slot held for one, is not waited for long."""
    deaf = exchange.workers[0]
    deaf.opening = False
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


def test_a_silence_is_forgiven_when_it_ends(exchange):
    """Sessions are suspected of a silent worker's death only until it speaks again."""
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


def test_long_steps_are_hardly_held_against_a_session(exchange):
    """A worker that is lost for a long step still hears: it weighs less than a death, but is not forgiven either."""
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


def test_a_wait_that_runs_out_is_logged_in_the_guides_words():
    """A new session that no worker came for is told so, and the log has the sentence to look for."""
    exchange = Exchange()
    client = exchange.client(start_wait_s=2.0).join()
    exchange.run(8)
    assert client.hangup.code == 1013
    assert sentences(exchange).count("No GPU resources available") == 1


def test_a_refusal_after_an_endless_load_is_logged_once():
    """Who is given up by a worker and finds no place in line either is one refusal, not two."""
    exchange = Exchange(workers=1, slots=1)
    people = [exchange.client(open_wait_s=2.0).join() for _ in range(3)]
    stalled = exchange.boot(0)
    stalled.opening, stalled.weights = False, "loading"
    exchange.run(10)
    assert people[0].hangup.code == 1013
    assert [event["connection"] for event in exchange.log.of("no_gpu_resources")] == [people[0].session.id]


def test_a_worker_that_forgot_a_session_loses_it(exchange):
    """What a worker no longer reports is placed anew."""
    client = exchange.client().join()
    exchange.run(2)
    table = exchange.workers[0].table
    table.close(table.of(0)[0])
    exchange.run(4)
    assert (client.session.state, client.session.moves) == (State.READY, 1)


def test_a_draining_worker_is_emptied(exchange):
    """Its sessions move while they go on, without a gap in the words, and nobody new is placed there."""
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


def test_loads_are_evened_out(exchange):
    """When a worker comes back empty, sessions that pause move there until loads differ by at most one."""
    people = [exchange.client().join() for _ in range(2)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 0]
    exchange.boot(1)
    exchange.run(20)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [1, 1]
    assert {person.session.state for person in people} == {State.READY}


def test_those_who_had_a_slot_wait_in_line(exchange):
    """Sessions that lost their worker wait for a slot when none is free, and get the first one."""
    people = [exchange.client().join() for _ in range(4)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    waiting = [person for person in people if person.session.state is State.WAITING]
    assert len(waiting) == 2
    assert "Waiting for a free GPU..." in texts(waiting[0])
    next(person for person in people if person.session.state is State.READY).leave()
    exchange.run(2)
    assert waiting[0].session.state is State.READY
    assert waiting[1].session.state is State.WAITING


def test_a_client_may_come_and_go_while_it_waits_in_line(exchange):
    """A session in line whose client drops and returns is in line once, and gets one slot."""
    people = [exchange.client().join() for _ in range(4)]
    exchange.run(2)
    exchange.workers[1].alive = False
    exchange.run(10)
    (first, second) = [person for person in people if person.session.state is State.WAITING]
    for _ in range(3):
        first.lose_network()
        assert first.come_back()
    exchange.boot(1)
    exchange.run(3)
    assert (first.session.state, second.session.state) == (State.READY, State.READY)
    assert exchange.registry.used_slots() == 4


def suspect(client, losses) -> None:
    """Have a session suspected of so many deaths over audio that it has not got past."""
    client.say(say(["one", 1.0]).pcm.tobytes())
    for _ in range(losses):
        client.session.poison.note_loss("gpu9", client.session.received, died=True)


def test_moved_suspects_are_kept_apart_too(exchange):
    """One that the next death ends is not moved to where another suspect is, and holds nobody up who may move."""
    tried, other, third = (exchange.client().join() for _ in range(3))
    exchange.run(2)
    assert [each.session.gpu_id for each in (tried, other, third)] == [0, 1, 0]
    suspect(tried, MAX_DEATHS - 1)
    suspect(other, 1)
    for worker in exchange.workers.values():
        worker.frozen = True  # nobody gets past that audio
    exchange.manager.on_worker_message(exchange.workers[0].identity, reported(exchange.workers[0], state="draining"))
    exchange.manager.on_tick(exchange.clock.now)
    assert tried.session.migration_lease is None
    assert third.session.migration_lease is not None


def reported(worker, **changes):
    return heartbeat(*worker.table.reports(0), **changes)


def test_loads_are_not_evened_out_by_a_worker_that_nobody_is_placed_on():
    """While a worker fails all its streams it stays empty, and sessions do not change places between the others."""
    exchange = Exchange(workers=3, slots=4).boot_all()
    exchange.registry.all()[1].failures = FAILING_AFTER
    people = [exchange.client().join() for _ in range(4)]
    exchange.run(60)
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 0, 2]
    assert [person.session.moves for person in people] == [0, 0, 0, 0]


def test_a_long_line_that_cannot_be_served_costs_little():
    """Who is suspected is not looked into while no slot is free at all: a tick with suspects in line is as quick."""
    exchange = Exchange(workers=2, slots=80).boot_all()
    people = [exchange.client().join() for _ in range(160)]
    exchange.run(1)
    exchange.workers[1].send(m.Goodbye("stopped"))
    exchange.hear(exchange.workers[1])
    exchange.workers[1].alive = False
    plain_s = tick_s(exchange)
    for person in people:
        suspect(person, MAX_DEATHS - 1)
    assert len(exchange.manager.coordinator.leases.waiting) == 80
    assert tick_s(exchange) < 2 * plain_s


def tick_s(exchange) -> float:
    """Return the processor's time for the quickest of some ticks."""
    found = []
    for _ in range(7):
        began = time.thread_time()
        exchange.manager.on_tick(exchange.clock.now)
        found.append(time.thread_time() - began)
    return min(found)


# --- what is odd ------------------------------------------------------------------------------------------------


def test_a_worker_of_another_version_is_refused():
    """It is logged with the reason, is not served, and disturbs nobody."""
    exchange = Exchange(workers=1)
    exchange.manager.on_worker_message(b"gpu0.x", register(0, protocol=99))
    assert exchange.registry.total_slots() == 0
    assert "protocol 99" in exchange.log.of("worker_refused")[0]["event"]


def test_messages_from_nobody_do_nothing(exchange):
    """Unknown senders are told to introduce themselves; unknown leases and odd messages change nothing."""
    client = exchange.client().join()
    exchange.run(2)
    exchange.manager.on_worker_message(b"stranger", m.NoFreeSlot(client.session.lease))
    exchange.manager.on_worker_message(b"stranger", m.Finished(client.session.lease, m.AudioAccounting(0, 0, 0)))
    exchange.manager.on_worker_message(b"stranger", m.Goodbye("x"))
    exchange.manager.on_worker_message(exchange.workers[0].identity, m.Opened(999, 1.0))
    exchange.manager.on_worker_message(exchange.workers[0].identity, m.Close(client.session.lease))
    exchange.manager.on_worker_message(b"stranger", heartbeat())
    assert client.session.state is State.READY
    assert len(exchange.log.of("odd_message")) == 1


def test_another_language_than_the_models_is_refused_before_the_gpu_is_used():
    """A session that was let in before any worker told its languages ends with the parameter's error."""
    exchange = Exchange(workers=1)
    client = exchange.client(language="klingon").join()
    exchange.hear(exchange.boot(0))
    assert (client.session.error.code, client.hangup.code) == ("bad_parameter", 4400)
    exchange.run(2)
    assert (len(exchange.workers[0].table), exchange.registry.used_slots()) == (0, 0)
    exchange.check_log()


def test_a_crowd_of_another_language_is_refused():
    """However many wait for the first worker: whoever it cannot serve is told so, and their slots are free again."""
    exchange = Exchange(workers=1)
    people = [exchange.client(language="klingon").join() for _ in range(400)]
    exchange.hear(exchange.boot(0))
    assert {(person.session.error.code, person.hangup.code) for person in people} == {("bad_parameter", 4400)}
    assert exchange.registry.used_slots() == 0
    exchange.run()
    assert len(exchange.workers[0].table) == 0
    exchange.check_log()


def test_a_slot_that_was_not_told_to_close_is_told_again(exchange):
    """What a broken connection has swallowed does not cost the worker a slot for ever, be it in use or only kept."""
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


def test_a_resume_token_is_its_owners():
    """Only the right token, from the client that got it, finds the session."""
    exchange = Exchange(workers=1).boot_all()
    client = exchange.client().join()
    token = client.client_session.resume_token
    assert exchange.manager.find(token, None) is client.client_session
    assert exchange.manager.find(token + "x", None) is None
    assert exchange.manager.find("", None) is None
    assert exchange.manager.find(token, "somebody else") is None


# --- the gateway goes -------------------------------------------------------------------------------------------


def test_a_drain_says_the_last_words(exchange):
    """Everybody's last words come, then that the service restarts."""
    client = exchange.client().join()
    exchange.run(2)
    client.say(say(["one", "two"]).pcm.tobytes())
    for client_session in list(exchange.manager._sessions.values()):
        exchange.manager.execute(client_session, client_session.session.drain(restarting(), exchange.clock.now))
    exchange.run(8)
    assert client.hangup.code == 1012
    assert client.session.transcript.words == 2
    assert client.session.outcome == "service_restart"


# --- what is written down, and what is done -----------------------------------------------------------------------


class Broken:
    """An observer on which everything fails."""

    def observe(self, event) -> None:
        """Fail."""
        raise RuntimeError(event)


@pytest.mark.parametrize("observers", [[], [Broken()], [Statistics()], [LogObserver()]])
def test_who_looks_on_changes_nothing(observers):
    """With any observer removed, or failing, a session whose worker died waits for another, and all is sent as before."""
    sent = []
    for chosen in (None, observers):
        exchange = Exchange(workers=1, observers=chosen).boot_all()
        client = exchange.client().join()
        exchange.run(2)
        assert client.session.state is State.READY
        client.say(say(["one", "two", 0.8]).pcm.tobytes())
        exchange.run(4)
        exchange.workers[0].alive = False
        exchange.run(10)
        assert client.session.state is State.WAITING
        exchange.boot(0)
        exchange.run(3)
        client.end()
        exchange.run(6)
        assert client.session.outcome == "complete"
        sent.append([json.loads(text) | {"resume_token": None} for text in client.read()])
    assert sent[0] == sent[1]


def test_three_hundred_unreachable_workers_take_no_stack():
    """A session that finds one worker after the other unreachable is told so in the end, whatever the stack's depth."""
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


def test_one_failing_action_does_not_take_the_others(exchange, monkeypatch):
    """An error while one action is done is logged, and those behind it are done all the same."""
    client = exchange.client().join()
    exchange.run(2)
    monkeypatch.setattr(exchange.manager.coordinator, "_send_to_worker", lambda _: 1 / 0)
    client.perform([*client.session.on_audio(b"\x01\x00" * 320, 0.0), CloseConnection(1000, "")])
    assert client.hangup == CloseConnection(1000, "")
    assert len(exchange.log.of("action_failed")) == 1

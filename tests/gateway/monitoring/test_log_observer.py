"""The guide's log logged to the letter, and one line for each session."""

import json

from gateway.placement.events import ConnectionAccepted
from shared import logs
from tests.gateway.exchange import Exchange
from tests.gateway.readers import read_values
from tests.scripted_recognizer import say


def logged(exchange) -> list[str]:
    return [event["event"] for event in exchange.log.events]


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
    event_ids = "websocket_accepted gpu_allocated allocation_timed engine_loaded gpu_released session_closed"
    assert [line["event_id"] for line in lines] == event_ids.split()
    assert {line["connection"] for line in lines} == {"c0"}
    assert (lines[0]["accept_ms"], lines[2]["allocate_ms"]) == (3.0, 1.0)
    assert (lines[3]["load_ms"], lines[3]["setup_ms"]) == (210.0, 214.0)
    assert lines[5]["outcome"] == "client_left", "it has not ended its audio"
    assert (lines[1]["gpu_id"], lines[1]["lease"]) == (lines[4]["gpu_id"], lines[4]["lease"]) == (0, 1)


def test_a_refusal_is_logged_in_the_guides_words(exchange):
    """The fifth session of four slots is refused, and the log has the sentence that operators look for."""
    for _ in range(4):
        exchange.client().join()
    exchange.run(3)
    fifth = exchange.client().join()
    assert logged(exchange).count("No GPU resources available") == 1
    assert fifth.hangup.code == 1013
    assert read_values(fifth, "error", "error") == ["No GPU resources available"]
    assert [len(worker.leases) for worker in exchange.registry.all()] == [2, 2]


def test_a_session_is_summed_up_in_one_line(exchange):
    """Audio, words, outcome, GPU, close code."""
    client = exchange.client().join()
    speech = say(["one", "two", 1.0])
    client.say(speech.pcm.tobytes())
    client.end()
    exchange.run(8)
    client.leave()
    (line,) = exchange.log.of("session_closed")
    assert (line["outcome"], line["words"], line["gpu_id"], line["close_code"]) == ("complete", 2, 0, 1000)
    assert line["received"] == line["transcribed"] + line["silence"] + line["unclear"] == len(speech.pcm)
    assert (line["dropped"], line["dropped_reason"], line["moves"]) == (0, None, 0)


def test_a_session_that_waited_in_vain_is_logged_as_refused():
    """The log has the same sentence, once."""
    exchange = Exchange()
    client = exchange.client(start_wait_s=2.0).join()
    exchange.run(8)
    assert client.hangup.code == 1013
    assert logged(exchange).count("No GPU resources available") == 1


def test_a_refusal_after_an_endless_load_is_logged_once():
    """A session that its worker does not open and that finds no place in the queue is one refusal."""
    exchange = Exchange(workers=1, slots=1)
    clients = [exchange.client(open_wait_s=2.0).join() for _ in range(3)]
    stalled = exchange.boot(0)
    stalled.opening, stalled.weights = False, "loading"
    exchange.run(10)
    assert clients[0].hangup.code == 1013
    assert [event["connection"] for event in exchange.log.of("no_gpu_resources")] == [clients[0].session.id]

"""``mode=events``: our messages, and the transcript that a client puts together from them."""

import pytest
from hypothesis import given, settings

from gateway.protocols.asr_events import EventsProtocol, final
from gateway.sessions.presenter import Status
from shared.errors import NoCapacityError
from tests.gateway.builders import S, word
from tests.gateway.protocols.harness import ACCOUNTING, CONFIG, GREETING, STEPS, ProtocolHarness, play
from tests.gateway.readers import Reader


@pytest.fixture
def events():
    return ProtocolHarness(EventsProtocol)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_events_add_up_to_the_transcript(steps):
    """However slowly a client reads, and over reconnections: committed text only grows, and each final comes once."""
    harness, reader = ProtocolHarness(EventsProtocol), Reader()
    play(harness, steps, reader)
    reader(harness.read())
    said = "".join(each.text for segment in harness.transcript.segments for each in segment.words)
    assert reader.text == (said + harness.transcript.tail).replace(" ", "")
    harness.transcript.close()
    harness.presenter.completed(ACCOUNTING)
    reader(harness.read())
    assert reader.types[-1] == "ready_to_stop"
    assert reader.text == said.replace(" ", "")


def test_a_final_has_words_with_times(events):
    """A final is complete: text, span, each word with its times and probability, the language."""
    events.step(word(" Hello", 1.0, 1.5, 0.98765), word(" world.", 1.5, 2.0), closes=True)
    assert events.read()[0] == {
        "type": "final",
        "segment": 1,
        "text": "Hello world.",
        "start": 1.0,
        "end": 2.0,
        "words": [
            {"word": " Hello", "start": 1.0, "end": 1.5, "probability": 0.988},
            {"word": " world.", "start": 1.5, "end": 2.0, "probability": 0.9},
        ],
        "language": "en",
        "seq": 1,
    }


def test_punctuation_belongs_to_the_word_before_it(events):
    """A full stop that was committed by itself is no word of its own."""
    events.step(word(" Hello", 1.0, 1.5))
    events.step(word(".", 1.5, 1.6), closes=True)
    assert [each["word"] for each in final(events.transcript.segments[0])["words"]] == [" Hello."]


def test_a_partial_separates_committed_text_from_the_tail(events):
    """So a page can show them differently."""
    events.step(word(" one", 1.0, 1.5), tail=" two", tail_end=2 * S)
    partial = {"type": "partial", "segment": 1, "committed": "one", "tail": " two", "start": 1.0, "end": 2.0, "seq": 1}
    assert events.read()[0] == partial


def test_an_ack_is_sent_for_every_second(events):
    """It says how much has been received and what is committed."""
    for n in range(1, 31):
        events.step(received=n * S // 10)
    acks = [message for message in events.read() if message["type"] == "ack"]
    assert acks == [{"type": "ack", "received": 3 * S, "committed_until": 0, "seq": 1}]
    events.step(word(" one", 0.5, 1.0), received=3 * S)
    assert next(m for m in events.read() if m["type"] == "ack")["committed_until"] == S


def test_config_statuses_moves_and_errors(events):
    """Each is a message with a type and its own keys."""
    events.presenter.greeted(GREETING)
    events.presenter.status(Status.READY, 2)
    events.presenter.migrated(1)
    events.presenter.rejected("Bad")
    events.presenter.failed(NoCapacityError("Full", retry_after_s=5.0))
    assert [{k: v for k, v in message.items() if k != "seq"} for message in events.read()] == [
        {**CONFIG, "mode": "events"},
        {"type": "status", "code": "ready", "message": "Ready to transcribe", "gpu_id": 2},
        {"type": "moved", "gpu_id": 1},
        {"type": "error", "error": "Bad", "code": "bad_message"},
        {"type": "error", "error": "Full", "code": "no_capacity", "retry_after_s": 5.0},
    ]


def test_every_rejection_is_sent(events):
    """In this format an error is small, so each rejected message gets its own."""
    for n in range(3):
        events.presenter.rejected(f"invalid {n}")
    assert [(message["error"], message["code"]) for message in events.read()] == [
        (f"invalid {n}", "bad_message") for n in range(3)
    ]

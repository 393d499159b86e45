"""What clients are told: WhisperLiveKit's format key by key, our events as a client puts them together."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.asr_events import EventsProtocol, final
from gateway.protocols.asr_full import FullProtocol, clock
from gateway.sessions.commands import SessionAccounting
from gateway.sessions.presenter import Greeting
from gateway.sessions.send_queue import SendQueue
from gateway.sessions.transcript import Transcript
from shared.errors import NoCapacityError, RecognitionError
from tests.gateway.builders import S, hypothesis, word
from tests.gateway.readers import Reader, shown

GREETING = Greeting(
    session_id="x",
    resume_token="secret",
    resumed=False,
    received=0,
    model="tiny.en",
    device="cpu",
    languages=("en",),
)
CONFIG = {
    "type": "config",
    "useAudioWorklet": True,
    "sample_rate": 16_000,
    "encoding": "pcm_s16le",
    "model": "tiny.en",
    "device": "cpu",
    "multilingual": False,
    "languages": ["en"],
    "session": "x",
    "resume_token": "secret",
    "resumed": False,
    "received": 0,
}
ACCOUNTING = SessionAccounting(3, 1, 2, 0, None)

FULL_KEYS = {
    "status",
    "lines",
    "buffer_transcription",
    "buffer_diarization",
    "buffer_translation",
    "remaining_time_transcription",
    "remaining_time_transcription_processing",
    "remaining_time_transcription_policy",
    "remaining_time_diarization",
}


class Desk:
    """A transcript, a view of it and its outbox, as a session has them; the clock is far ahead of any rate bound."""

    def __init__(self, protocol) -> None:
        self.outbox = SendQueue(protocol.encode)
        self.transcript = Transcript()
        self.view = protocol(self.transcript, self.outbox)
        self.now = 0.0

    def step(self, *words, received=0, **values) -> None:
        self.transcript.apply(hypothesis(*words, **values))
        self.view.text_changed(received, 0.0)

    def read(self, most=10_000) -> list[dict]:
        sent = []
        while len(sent) < most and (text := self.outbox.pop(self.now)) is not None:
            sent.append(json.loads(text))
            self.now += 1000.0
        return sent


@pytest.fixture
def full():
    return Desk(FullProtocol)


@pytest.fixture
def events():
    return Desk(EventsProtocol)


WORDS = st.lists(st.sampled_from([" one", " two", ".", " three", "字"]), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("step"), WORDS, st.sampled_from(["", " tail", " longer tail"]), st.booleans(), st.integers(0, 12)
        ),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("status")),
        st.tuples(st.just("resume")),
    ),
    max_size=30,
)


def play(desk, steps, look) -> None:
    """Run the steps; ``look`` is given what the client reads, and None where it comes back on a new socket."""
    at_s = 0.0
    for what, *values in steps:
        if what == "step":
            texts, tail, closes, pause_s = values
            words = []
            for text in texts:
                at_s += pause_s
                words.append(word(text, at_s, at_s + 0.3))
                at_s += 0.3
            desk.step(*words, tail=tail, tail_end=round((at_s + 1) * S), closes=closes, received=round((at_s + 1) * S))
        elif what == "read":
            look(desk.read(values[0]))
        elif what == "status":
            desk.view.status("Moving to GPU 1...", 1)
        else:
            desk.outbox.clear()
            desk.view.replay(look(None))


def test_the_first_message_is_the_config(full):
    """A stock client learns that it may use its AudioWorklet; our facts ride along."""
    full.view.greeted(GREETING)
    assert full.read() == [{**CONFIG, "mode": "full"}]


def test_an_update_has_whisperlivekits_keys(full):
    """An update is the whole state, without a type, with exactly the keys that stock clients know."""
    full.view.text_changed(0, 0.0)
    full.transcript.apply(
        hypothesis(word(" Hello", 1.0, 1.5), word(" there.", 1.5, 2.5), tail=" how are", tail_end=3 * S)
    )
    full.view.text_changed(4 * S, 1.234)
    (update,) = full.read()
    assert set(update) == FULL_KEYS
    assert update == {
        "status": "active_transcription",
        "lines": [
            {
                "speaker": 1,
                "text": "Hello there.",
                "start": "0:00:01.00",
                "end": "0:00:02.50",
                "detected_language": "en",
            }
        ],
        "buffer_transcription": "how are",
        "buffer_diarization": "",
        "buffer_translation": "",
        "remaining_time_transcription": 1.23,
        "remaining_time_transcription_processing": 1.23,
        "remaining_time_transcription_policy": 0.0,
        "remaining_time_diarization": 0.0,
    }


def test_a_status_rides_on_a_whole_state(full):
    """A status before any word is an empty state with ``message``; a stock client shows it as silence."""
    full.view.status("Connected", None)
    full.view.status("Loading models on GPU 2...", 2)
    connected, loading = full.read()
    assert set(connected) == FULL_KEYS | {"message"}
    assert (connected["status"], connected["message"], connected["lines"]) == ("no_audio_detected", "Connected", [])
    assert (loading["message"], loading["gpu_id"]) == ("Loading models on GPU 2...", 2)


def test_a_status_in_mid_speech_does_not_wipe_the_text(full):
    """Stock clients take every message for the whole state, so a late status carries all lines."""
    full.step(word(" one"), tail=" two")
    full.view.status("Moving to GPU 1...", 1)
    status = full.read()[-1]
    assert (status["lines"][0]["text"], status["buffer_transcription"]) == ("one", "two")
    assert status["message"] == "Moving to GPU 1..."


def test_an_error_before_any_word_stands_alone(full):
    """A refusal is what design.md §5 shows: type, error, when to try again."""
    full.view.failed(NoCapacityError("No GPU resources available", retry_after_s=5.0))
    assert full.read() == [
        {"type": "error", "error": "No GPU resources available", "code": "no_capacity", "retry_after_s": 5.0}
    ]


def test_an_error_after_words_carries_them(full):
    """The last thing that a stock client shows is the text, not an empty page."""
    full.step(word(" one"))
    full.view.failed(RecognitionError("gone"))
    error = full.read()[-1]
    assert set(error) == FULL_KEYS | {"error", "code"}
    assert (error["status"], error["error"], error["lines"][0]["text"]) == ("error", "gone", "one")


def test_the_end_is_the_whole_text_then_ready_to_stop(full):
    """Everything said is in the state before the end mark."""
    full.step(word(" one"), tail=" two")
    full.step(word(" two"))
    full.view.completed(ACCOUNTING)
    *_, state, end = full.read()
    assert state["lines"][0]["text"] == "one two"
    assert end == {"type": "ready_to_stop", "audio": ACCOUNTING.as_json()}


@pytest.mark.parametrize(("gap_s", "silence"), [(4.99, False), (5.0, True), (65.0, True)])
def test_a_long_pause_is_a_line_of_its_own(full, gap_s, silence):
    """From 5 s on a pause is a line of speaker -2 between two lines; below it the line goes on."""
    full.step(word(" one", 0.5, 1.0))
    full.step(word(" two", 1.0 + gap_s, 1.5 + gap_s))
    lines = full.read()[-1]["lines"]
    assert [line["speaker"] for line in lines] == ([1, -2, 1] if silence else [1])
    if silence:
        assert (lines[1]["start"], lines[1]["end"], lines[1]["text"]) == (
            "0:00:01.00",
            clock(round((1 + gap_s) * S)),
            "",
        )
        assert [lines[0]["text"], lines[2]["text"]] == ["one", "two"]
    else:
        assert lines[0]["text"] == "one two"


def test_silence_before_the_first_word_counts(full):
    """Someone who begins to speak after 7 s gets a silence line first."""
    full.step(word(" one", 7.0, 7.5))
    assert [(line["speaker"], line["start"]) for line in full.read()[-1]["lines"]] == [
        (-2, "0:00:00.00"),
        (1, "0:00:07.00"),
    ]


def test_nothing_is_sent_while_the_text_stays_the_same(full):
    """Updates follow the text, not a timer: in silence there are none."""
    full.step(word(" one"), tail=" two")
    assert len(full.read()) == 1
    for n in range(20):
        full.step(tail=" two", tail_end=n * S, received=n * S, keep_from=0)
    assert full.read() == []
    full.step(tail=" too")
    assert full.read()[0]["buffer_transcription"] == "too"


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_a_stock_clients_text_only_grows(steps):
    """However slowly it reads, the lines that a client sees are a growing text, and at the end the whole of it."""
    desk, seen = Desk(FullProtocol), [""]

    def look(messages):
        for message in messages or []:
            assert set(message) - {"message", "gpu_id"} == FULL_KEYS
            assert shown(message).startswith(seen[-1])
            assert all(line["start"] <= line["end"] for line in message["lines"])
            seen.append(shown(message))
        return 0

    play(desk, steps, look)
    desk.transcript.close()
    desk.view.completed(ACCOUNTING)
    *last, end = desk.read()
    look(last)
    assert end["type"] == "ready_to_stop"
    said = "".join(each.text for segment in desk.transcript.segments for each in segment.words)
    assert seen[-1].replace(" ", "") == said.replace(" ", "")


@pytest.mark.parametrize(
    ("samples", "text"),
    [(0, "0:00:00.00"), (79, "0:00:00.00"), (81, "0:00:00.01"), (S * 59 + 15_999, "0:01:00.00"), (S * 3661, "1:01:01.00")],
)  # fmt: skip
def test_positions_read_as_a_clock(samples, text):
    """``H:MM:SS.cc``, rounded to the nearest hundredth."""
    assert clock(samples) == text


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_client_that_puts_events_together_has_the_transcript(steps):
    """However slowly a client reads, and over reconnections: committed text only grows, finals come once, the end is all."""
    desk, reader = Desk(EventsProtocol), Reader()
    play(desk, steps, reader)
    reader(desk.read())
    said = "".join(each.text for segment in desk.transcript.segments for each in segment.words)
    assert reader.text == (said + desk.transcript.tail).replace(" ", "")
    desk.transcript.close()
    desk.view.completed(ACCOUNTING)
    reader(desk.read())
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


def test_a_partial_says_what_is_decided_and_what_is_not(events):
    """Committed words and the tail are apart, so that a page can show them differently."""
    events.step(word(" one", 1.0, 1.5), tail=" two", tail_end=2 * S)
    assert events.read()[0] == {
        "type": "partial",
        "segment": 1,
        "committed": "one",
        "tail": " two",
        "start": 1.0,
        "end": 2.0,
        "seq": 1,
    }


def test_acknowledgements_tell_what_is_safe(events):
    """A client learns about once a second how much has arrived, and what is committed."""
    for n in range(1, 31):
        events.step(received=n * S // 10)
    acks = [message for message in events.read() if message["type"] == "ack"]
    assert acks == [{"type": "ack", "received": 3 * S, "committed_until": 0, "seq": 1}]
    events.step(word(" one", 0.5, 1.0), received=3 * S)
    assert next(m for m in events.read() if m["type"] == "ack")["committed_until"] == S


def test_statuses_moves_and_errors_are_messages(events):
    """Everything else is a message with a type and its own keys."""
    events.view.greeted(GREETING)
    events.view.status("Ready to transcribe", 2)
    events.view.migrated(1)
    events.view.rejected("Bad")
    events.view.failed(NoCapacityError("Full", retry_after_s=5.0))
    assert [{k: v for k, v in message.items() if k != "seq"} for message in events.read()] == [
        {**CONFIG, "mode": "events"},
        {"type": "status", "message": "Ready to transcribe", "gpu_id": 2},
        {"type": "moved", "gpu_id": 1},
        {"type": "error", "error": "Bad", "code": "bad_message"},
        {"type": "error", "error": "Full", "code": "no_capacity", "retry_after_s": 5.0},
    ]


def test_complaints_do_not_pile_up(full):
    """A stock client that sends nonsense and reads nothing gets one whole state for all of it, not a thousand."""
    full.step(word(" one"))
    for n in range(1000):
        full.view.rejected(f"nonsense {n}")
    assert [message["error"] for message in full.read() if "error" in message] == ["nonsense 999"]


def test_every_complaint_is_told(events):
    """In our format an error is small: each nonsense has its own."""
    for n in range(3):
        events.view.rejected(f"nonsense {n}")
    assert [(message["error"], message["code"]) for message in events.read()] == [
        (f"nonsense {n}", "bad_message") for n in range(3)
    ]

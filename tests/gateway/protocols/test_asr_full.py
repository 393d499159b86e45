"""``mode=full``: WhisperLiveKit's format key by key."""

import pytest
from hypothesis import given, settings

from gateway.protocols.asr_full import FullProtocol, clock
from gateway.sessions.presenter import Status
from shared.errors import NoCapacityError, RecognitionError
from tests.gateway.builders import S, hypothesis, word
from tests.gateway.protocols.harness import ACCOUNTING, CONFIG, GREETING, STEPS, ProtocolHarness, play
from tests.gateway.readers import shown

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


@pytest.fixture
def full():
    return ProtocolHarness(FullProtocol)


def test_the_first_message_is_the_config(full):
    """A stock client learns that it may use its AudioWorklet; our keys are beside it."""
    full.presenter.greeted(GREETING)
    assert full.read() == [{**CONFIG, "mode": "full"}]


def test_an_update_has_whisperlivekits_keys(full):
    """An update is the whole state, without a type, with exactly the keys that stock clients know."""
    full.presenter.text_changed(0, 0.0)
    full.transcript.apply(
        hypothesis(word(" Hello", 1.0, 1.5), word(" there.", 1.5, 2.5), tail=" how are", tail_end=3 * S)
    )
    full.presenter.text_changed(4 * S, 1.234)
    (update,) = full.read()
    line = {"speaker": 1, "text": "Hello there.", "start": "0:00:01.00", "end": "0:00:02.50", "detected_language": "en"}
    assert set(update) == FULL_KEYS
    assert update == {
        "status": "active_transcription",
        "lines": [line],
        "buffer_transcription": "how are",
        "buffer_diarization": "",
        "buffer_translation": "",
        "remaining_time_transcription": 1.23,
        "remaining_time_transcription_processing": 1.23,
        "remaining_time_transcription_policy": 0.0,
        "remaining_time_diarization": 0.0,
    }


def test_a_status_is_part_of_a_whole_state(full):
    """A status before any word is an empty state with ``message``; a stock client shows it as silence."""
    full.presenter.status(Status.CONNECTED, None)
    full.presenter.status(Status.LOADING, 2)
    connected, loading = full.read()
    assert set(connected) == FULL_KEYS | {"code", "message"}
    assert (connected["status"], connected["message"], connected["lines"]) == ("no_audio_detected", "Connected", [])
    assert (loading["message"], loading["gpu_id"]) == ("Loading models on GPU 2...", 2)


def test_a_hint_is_part_of_a_whole_state(full):
    """A stock client reads a state as ever; ours finds the hint beside it."""
    full.presenter.hint("sample_rate", "Too fast.")
    (update,) = full.read()
    assert set(update) == FULL_KEYS | {"hint", "hint_code"}
    assert (update["hint_code"], update["hint"]) == ("sample_rate", "Too fast.")


def test_a_late_status_carries_all_lines(full):
    """Stock clients take every message for the whole state."""
    full.step(word(" one"), tail=" two")
    full.presenter.status(Status.MOVING, 1)
    status = full.read()[-1]
    assert (status["lines"][0]["text"], status["buffer_transcription"]) == ("one", "two")
    assert (status["code"], status["message"]) == ("moving", "Moving to GPU 1...")


def test_an_error_before_any_word_stands_alone(full):
    """It has a type, the sentence, its code, and when to try again."""
    full.presenter.failed(NoCapacityError("No GPU resources available", retry_after_s=5.0))
    assert full.read() == [
        {"type": "error", "error": "No GPU resources available", "code": "no_capacity", "retry_after_s": 5.0}
    ]


def test_an_error_after_words_carries_them(full):
    """A stock client goes on showing the text."""
    full.step(word(" one"))
    full.presenter.failed(RecognitionError("gone"))
    error = full.read()[-1]
    assert set(error) == FULL_KEYS | {"error", "code"}
    assert (error["status"], error["error"], error["lines"][0]["text"]) == ("error", "gone", "one")


def test_the_last_state_is_followed_by_ready_to_stop(full):
    """The state has the whole text, the end has the accounting."""
    full.step(word(" one"), tail=" two")
    full.step(word(" two"))
    full.presenter.completed(ACCOUNTING)
    *_, state, end = full.read()
    assert state["lines"][0]["text"] == "one two"
    assert end == {"type": "ready_to_stop", "audio": ACCOUNTING.as_json()}


@pytest.mark.parametrize(("gap_s", "silence"), [(4.99, False), (5.0, True), (65.0, True)])
def test_a_long_pause_is_a_silence_line(full, gap_s, silence):
    """From 5 s on it is a line of speaker -2; a shorter pause does not end the line."""
    full.step(word(" one", 0.5, 1.0))
    full.step(word(" two", 1.0 + gap_s, 1.5 + gap_s))
    lines = full.read()[-1]["lines"]
    assert [line["speaker"] for line in lines] == ([1, -2, 1] if silence else [1])
    if silence:
        end = clock(round((1 + gap_s) * S))
        assert (lines[1]["start"], lines[1]["end"], lines[1]["text"]) == ("0:00:01.00", end, "")
        assert [lines[0]["text"], lines[2]["text"]] == ["one", "two"]
    else:
        assert lines[0]["text"] == "one two"


def test_silence_before_the_first_word_is_a_line(full):
    """If speech begins after 7 s, the first line is silence."""
    full.step(word(" one", 7.0, 7.5))
    lines = [(line["speaker"], line["start"]) for line in full.read()[-1]["lines"]]
    assert lines == [(-2, "0:00:00.00"), (1, "0:00:07.00")]


def test_unchanged_text_is_not_sent_again(full):
    """Updates follow the text, not a timer."""
    full.step(word(" one"), tail=" two")
    assert len(full.read()) == 1
    for n in range(20):
        full.step(tail=" two", tail_end=n * S, received=n * S, keep_from=0)
    assert full.read() == []
    full.step(tail=" too")
    assert full.read()[0]["buffer_transcription"] == "too"


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_the_committed_text_only_grows(steps):
    """However slowly a client reads, each update extends the last one, and the last one has the whole text."""
    harness, seen = ProtocolHarness(FullProtocol), [""]

    def on_read(messages):
        for message in messages or []:
            assert set(message) - {"code", "message", "gpu_id"} == FULL_KEYS
            assert shown(message).startswith(seen[-1])
            assert all(line["start"] <= line["end"] for line in message["lines"])
            seen.append(shown(message))
        return 0

    play(harness, steps, on_read)
    harness.transcript.close()
    harness.presenter.completed(ACCOUNTING)
    *last, end = harness.read()
    on_read(last)
    assert end["type"] == "ready_to_stop"
    said = "".join(each.text for segment in harness.transcript.segments for each in segment.words)
    assert seen[-1].replace(" ", "") == said.replace(" ", "")


@pytest.mark.parametrize(
    ("samples", "text"),
    [(0, "0:00:00.00"), (79, "0:00:00.00"), (81, "0:00:00.01"), (S * 59 + 15_999, "0:01:00.00"), (S * 3661, "1:01:01.00")],
)  # fmt: skip
def test_clock(samples, text):
    """``H:MM:SS.cc``, rounded to the nearest hundredth."""
    assert clock(samples) == text


def test_rejections_do_not_pile_up(full):
    """A client that sends invalid messages and reads nothing gets one state with the last error."""
    full.step(word(" one"))
    for n in range(1000):
        full.presenter.rejected(f"invalid {n}")
    assert [message["error"] for message in full.read() if "error" in message] == ["invalid 999"]

"""transcript and segment: messages become text, times and broken promises."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper_live_client.events import (
    Accounting,
    Ack,
    Config,
    ErrorEvent,
    Final,
    FinalWord,
    Line,
    Partial,
    ReadyToStop,
    Status,
    Update,
)
from whisper_live_client.outcome import of_session
from whisper_live_client.segment import join_texts, split_words
from whisper_live_client.transcript import Transcript


def fold(transcript, event, now):
    transcript.fold(replace(event, arrived_s=now))


def partial(seq, segment, committed, tail):
    return Partial(seq, segment, committed, tail, 0.0, 1.0)


def final(seq, segment, *words):
    spoken = tuple(FinalWord(f" {word}", start, end, 0.9) for word, start, end in words)
    text = " ".join(word for word, _, _ in words)
    return Final(seq, segment, text, words[0][1], words[-1][2], spoken, "en")


def shown(transcript):
    return [(word.text, word.shown_s, word.committed_s) for word in transcript.words]


def test_words_are_timed_from_their_first_sight():
    """A word counts from when it was first shown, through the tail, the commit and the final."""
    transcript = Transcript(0.0)
    fold(transcript, partial(1, 0, "", "And so"), 1.0)
    fold(transcript, partial(2, 0, "And", "so my"), 2.0)
    fold(transcript, partial(3, 0, "And so", "my fellow"), 3.0)
    fold(transcript, final(4, 0, ("And", 0.1, 0.3), ("so", 0.4, 0.5), ("my", 0.6, 0.8)), 4.0)
    assert shown(transcript) == [("And", 1.0, 2.0), ("so", 1.0, 3.0), ("my", 2.0, 4.0)]
    assert [(word.start_s, word.end_s) for word in transcript.words] == [(0.1, 0.3), (0.4, 0.5), (0.6, 0.8)]
    assert (transcript.committed, transcript.tail) == ("And so my", "")
    assert transcript.first_word_s == 1.0
    assert transcript.violations == []


def test_a_corrected_word_counts_from_its_correction():
    """A tail word that is replaced is new; its neighbours are not, though they move."""
    transcript = Transcript(0.0)
    fold(transcript, partial(1, 0, "", "ice cream now"), 1.0)
    fold(transcript, partial(2, 0, "", "I scream, now"), 2.0)
    fold(transcript, partial(3, 0, "I scream,", "Now!"), 3.0)
    assert shown(transcript) == [("I", 2.0, 3.0), ("scream,", 2.0, 3.0), ("Now!", 1.0, None)]


def test_the_tail_survives_the_end_of_its_segment():
    """A tail that goes over into the next segment in the same breath keeps its times; later words do not."""
    transcript = Transcript(0.0)
    fold(transcript, partial(1, 0, "One.", "Two three"), 1.0)
    fold(transcript, final(2, 0, ("One.", 0.1, 0.5)), 2.0)
    assert transcript.tail == ""
    fold(transcript, partial(3, 1, "Two", "three"), 2.01)
    fold(transcript, partial(4, 1, "Two three.", ""), 3.0)
    assert shown(transcript) == [("One.", 1.0, 1.0), ("Two", 1.0, 2.01), ("three.", 1.0, 3.0)]
    fold(transcript, partial(5, 1, "Two three.", "noise"), 4.0)
    fold(transcript, final(6, 1, ("Two", 0.6, 0.8), ("three.", 0.8, 1.0)), 5.0)
    fold(transcript, partial(7, 2, "", "noise"), 9.0)
    assert transcript.words[-1].shown_s == 9.0
    assert transcript.violations == []


@pytest.mark.parametrize(
    ("messages", "broken"),
    [
        ([partial(1, 0, "one two", ""), partial(2, 0, "one", "two")], "committed text of segment 0 changed"),
        ([partial(1, 0, "one", ""), partial(2, 0, "oneself", "")], "a committed word of segment 0 grew"),
        ([partial(1, 0, "one", ""), final(2, 0, ("two", 0, 1))], "committed text of segment 0 changed"),
        ([final(1, 0, ("one", 0, 1)), partial(2, 0, "one more", "")], "segment 0 changed after it was closed"),
        ([final(1, 0, ("one", 0, 1)), final(2, 0, ("one", 0, 1))], "segment 0 was closed twice"),
        ([final(1, 1, ("one", 0, 1)), partial(2, 0, "", "two")], "segment 0 begins after segment 1"),
        ([partial(2, 0, "", "a"), partial(2, 0, "", "b")], "seq 2 after 2"),
        ([partial(2, 0, "", "a"), partial(None, 0, "", "b")], "a message without seq"),
        ([ReadyToStop(1, None), partial(2, 0, "", "")], "Partial after ready_to_stop"),
        ([partial(1, 0, "one", ""), ReadyToStop(2, None)], "segment 0 never was closed: 'one'"),
    ],
)
def test_broken_promises_are_named(messages, broken):
    """Each promise of the protocol that is broken is named once."""
    transcript = Transcript(0.0)
    for now, message in enumerate(messages):
        fold(transcript, message, float(now))
    assert len(transcript.violations) == 1
    assert transcript.violations[0].startswith(broken)


def test_words_find_their_parts():
    """The server may split words and count commas: places and the lowest probability come from all parts of a word."""
    transcript = Transcript(0.0)
    parts = [(" fel", 0.1, 0.2, 0.9), ("low", 0.2, 0.4, 0.5), (",", 0.4, 0.9, 0.1), (" citizens", 1.0, 1.5, None)]
    spoken = tuple(FinalWord(*part) for part in parts)
    fold(transcript, Final(1, 0, "fellow, citizens", 0.1, 1.5, spoken, "en"), 2.0)
    assert [(word.text, word.start_s, word.end_s, word.probability) for word in transcript.words] == [
        ("fellow,", 0.1, 0.4, 0.5),
        ("citizens", 1.0, 1.5, None),
    ]


def test_statuses_acks_and_end():
    """Everything that is no text is kept too."""
    transcript = Transcript(10.0)
    transcript.sent(1600, 10.1)
    transcript.sent(1600, 10.2)
    for now, message in [
        (11.0, Config(1, session="a", model="tiny.en")),
        (11.5, Status(2, "Ready to transcribe", 3, "ready")),
        (12.0, Ack(3, 3200, 1600)),
    ]:
        fold(transcript, message, now)
    transcript.ended_s = 13.0
    fold(transcript, ReadyToStop(4, Accounting(3200, 3200, 0, 0)), 14.0)
    assert (transcript.ready_s, transcript.committed_until) == (11.5, 1600)
    assert (transcript.complete, transcript.done_s, transcript.accounting.received) == (True, 14.0, 3200)
    assert [transcript.sent_at_s(s) for s in (0.0, 0.1, 0.15, 0.2, 0.3)] == [10.1, 10.1, 10.2, 10.2, None]


def test_the_end_drops_the_tail():
    """What was never committed is no text any more once everything is said."""
    transcript = Transcript(0.0)
    fold(transcript, partial(1, 0, "", "noise"), 1.0)
    fold(transcript, ReadyToStop(2, None), 2.0)
    assert (transcript.tail, transcript.words, transcript.violations) == ("", [], [])


def update(*lines, tail="", **more):
    told = tuple(
        Line(text or "", number, number + 1, text is None, "en" if text else None) for number, text in enumerate(lines)
    )
    fields = {"error": "", "message": "", "gpu_id": None, "code": "", **more}
    return Update(None, "active_transcription", told, tail, **fields)


def test_full_updates_become_segments():
    """The lines of mode=full are segments, a silence is none, and the tail belongs to the line to come."""
    transcript = Transcript(0.0)
    steps = [
        update(message="Ready to transcribe", gpu_id=1, code="ready"),
        update(tail="Hel"),
        update("Hello", tail="world"),
        update("Hello world.", None),
        update("Hello world.", None, tail="And"),
        update("Hello world.", None, "And more."),
    ]
    for now, step in enumerate(steps):
        fold(transcript, step, float(now))
    assert transcript.violations == []
    assert [(s.committed, s.closed) for s in transcript.segments.values()] == [
        ("Hello world.", True),
        ("And more.", False),
    ]
    assert shown(transcript) == [("Hello", 2.0, 2.0), ("world.", 2.0, 3.0), ("And", 4.0, 5.0), ("more.", 5.0, 5.0)]
    assert transcript.ready_s == 0.0
    fold(transcript, ReadyToStop(None, None), 9.0)
    assert [segment.closed for segment in transcript.segments.values()] == [True, True]
    assert transcript.violations == []


def test_full_updates_that_take_words_back():
    """Fewer lines, or another text in a line, are broken promises."""
    transcript = Transcript(0.0)
    fold(transcript, update("One.", None, "Two."), 1.0)
    fold(transcript, update("Won.", None, "Two."), 2.0)
    fold(transcript, update("One."), 3.0)
    assert [violation[:20] for violation in transcript.violations] == ["segment 0 changed af", "an update has 1 line"]


def test_full_errors_are_kept_once():
    """An error that rides on every update is one error."""
    transcript = Transcript(0.0)
    fold(transcript, update("One.", error="boom"), 1.0)
    fold(transcript, update("One.", error="boom"), 2.0)
    assert [error.error for error in transcript.errors] == ["boom"]


WORDS = st.lists(st.sampled_from(["a", "b", "c", "Dd", "e."]), max_size=8)


@given(st.lists(st.tuples(st.integers(0, 3), WORDS), max_size=12))
def test_words_always_say_what_the_text_says(steps):
    """However the tail changes, the words are those of the text, committed ones have both times, in order."""
    transcript = Transcript(0.0)
    committed = []
    for now, (grow, tail) in enumerate(steps):
        committed += tail[:grow]
        fold(transcript, partial(now, 0, " ".join(committed), " ".join(tail[grow:])), float(now))
        assert [word.text for word in transcript.words] == committed + tail[grow:]
        for index, word in enumerate(transcript.words):
            assert (word.committed_s is not None) == (index < len(committed))
            assert word.shown_s <= now
            assert word.committed_s is None or word.shown_s <= word.committed_s
    assert transcript.violations == []


def test_split_words_scripts_without_spaces():
    """Chinese and Japanese count by the character, and are joined without a space."""
    assert split_words("今日は sunny です。") == ["今", "日", "は", "sunny", "で", "す", "。"]
    assert join_texts(["今日は。", "晴れ", "ok", "then"]) == "今日は。晴れ ok then"


def test_a_fresh_session_replaces_open_words_only():
    """Finals stay; committed words of an open segment stand until they are said again, then only the new ones do."""
    transcript = Transcript(0.0)
    fold(transcript, final(1, 1, ("One.", 0.1, 0.5)), 1.0)
    fold(transcript, partial(2, 2, "Too", "free"), 2.0)
    transcript.disconnected()
    fold(transcript, ErrorEvent(None, "The service restarts", None, None), 2.5)
    transcript.restarted(8000, 0, 3.0)
    first = transcript.next_segment
    fold(transcript, Config(1), 3.0)
    fold(transcript, partial(2, first, "", ""), 3.5)
    assert (transcript.committed, transcript.tail) == ("One. Too", "free")
    fold(transcript, partial(3, first, "", "Two three"), 4.0)
    assert (transcript.committed, transcript.tail) == ("One.", "Two three")
    fold(transcript, final(4, first, ("Two", 0.6, 0.8), ("three.", 0.8, 1.0)), 5.0)
    fold(transcript, ReadyToStop(5, None), 6.0)
    assert transcript.committed == "One. Two three."
    assert (transcript.disconnects, transcript.violations) == (1, [])


def test_words_that_are_not_said_again_stay():
    """A fresh session that hears nothing more takes no committed word away, but the tail."""
    transcript = Transcript(0.0)
    fold(transcript, partial(1, 1, "One", "two"), 1.0)
    transcript.disconnected()
    transcript.restarted(0, 0, 2.0)
    fold(transcript, Config(1), 2.0)
    fold(transcript, ReadyToStop(2, None), 3.0)
    assert (transcript.committed, transcript.tail, transcript.violations) == ("One", "", [])


def test_a_resumed_session_may_repeat_finals_but_not_change_them():
    """A final that is said again is no second one, and one with another text is a broken promise."""
    transcript = Transcript(0.0)
    fold(transcript, final(1, 1, ("One.", 0.1, 0.5)), 1.0)
    transcript.disconnected()
    transcript.resumed()
    fold(transcript, final(3, 1, ("One.", 0.1, 0.5)), 2.0)
    assert (transcript.committed, transcript.violations) == ("One.", [])
    fold(transcript, final(4, 1, ("Won.", 0.1, 0.5)), 3.0)
    assert transcript.violations[0] == "segment 1 was closed twice"


def test_what_a_fresh_session_need_not_hear():
    """Finals settle audio, and so does the acknowledgement before the last while no words are open."""
    transcript = Transcript(0.0)
    steps = [
        (Ack(1, 16_000, 9000), (0, None)),
        (Ack(2, 32_000, 20_000), (9000, None)),
        (Partial(3, 1, "One", "", 1.5, 2.0), (9000, 24_000)),
        (Ack(4, 40_000, 32_000), (9000, 24_000)),
        (final(5, 1, ("One.", 1.5, 2.25)), (36_000, None)),
        (Ack(6, 64_000, 50_000), (36_000, None)),
        (Ack(7, 80_000, 60_000), (50_000, None)),
    ]
    for now, (message, expected) in enumerate(steps):
        fold(transcript, message, float(now))
        assert (transcript.settled_samples, transcript.unsettled_from) == expected


def test_audio_that_was_lost_is_said():
    """A transcript with a hole is complete as far as the server goes, and says how much is missing."""
    transcript = Transcript(0.0)
    transcript.sent(48_000, 0.0)
    fold(transcript, Partial(1, 1, "One", "", 0.5, 1.0), 1.0)
    transcript.disconnected()
    transcript.restarted(32_000, 24_000, 2.0)
    fold(transcript, ReadyToStop(2, Accounting(16_000, 16_000, 0, 0)), 3.0)
    outcome = of_session(transcript, None, None)
    assert (outcome.exit_code, outcome.sentence) == (0, "1.5 s of audio could not be sent again")
    transcript.sent(1, 4.0)
    assert of_session(transcript, None, None).sentence == "the server received 48000 samples, 48001 were sent"

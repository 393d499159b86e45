"""scripts/load and scripts/tools/word_timing: figures from a scripted transcript, and bounds they are held against."""

import json
from dataclasses import replace

import pytest
from whisper_live_client.events import Accounting, Config, Final, FinalWord, Partial, ReadyToStop, Status
from whisper_live_client.outcome import Exit, Outcome
from whisper_live_client.transcript import Transcript

from scripts.load.bounds import parse_bound
from scripts.load.processes import CpuTime
from scripts.load.results import describe, render
from scripts.load.sampling import Observations, Sample
from scripts.load.session import all_speaking_s, report
from scripts.load.summary import server_figures, summarise
from scripts.tools.corpus import Corpus, SpokenWord, Utterance, make_streams
from scripts.tools.driver import SessionResult
from scripts.tools.word_timing import ChangeCounter, word_times

MESSAGE = 1_600
LINE = Utterance(
    "line", "Ask not, my friend", (("Ask", 0.5), ("not,", 1.0), ("my", 1.5), ("friend", 2.0)), bytes(64_000)
)
(STREAM,) = make_streams(Corpus("test", ((LINE,),), 0.0, 0.0), 1, None)
UNSEEN = Observations((), CpuTime(None, None), 0.0)


def normalise(text):
    return text.lower().replace(",", "").split()


def fold(transcript, event, now):
    """Have an event arrive at ``now``."""
    transcript.fold(replace(event, arrived_s=now))


def partial(seq, segment, committed, tail):
    return Partial(seq, segment, committed, tail, 0.0, 1.0)


def final(seq, segment, text):
    return Final(seq, segment, text, 0.0, 2.0, tuple(FinalWord(word, 0.0, 2.0, 0.9) for word in text.split()), "en")


def spoken(first_s, samples=32_000):
    """Give a transcript whose audio was sent in tenths of a second, as spoken, from a moment on."""
    transcript = Transcript(first_s - 1.0)
    for number in range(samples // MESSAGE):
        transcript.sent(MESSAGE, first_s + number / 10)
    return transcript


def session(first_s=100.0, **books):
    """Give a session of two seconds, heard right but for one word."""
    transcript = spoken(first_s)
    fold(transcript, Config(1, session="s", resume_token="secret"), first_s - 0.9)
    fold(transcript, Status(2, "Ready to transcribe", 0, "ready"), first_s - 0.75)
    fold(transcript, partial(3, 0, "", "Ask"), first_s + 0.75)
    fold(transcript, partial(4, 0, "Ask", "not my"), first_s + 1.75)
    transcript.ended_s = first_s + 2.0
    fold(transcript, final(5, 0, "Ask not my fiend"), first_s + 2.25)
    told = {"received": 32_000, "transcribed": 30_000, "silence": 2_000, "dropped": 0, **books}
    fold(transcript, ReadyToStop(6, Accounting(**told)), first_s + 2.5)
    return transcript


def timed(spoken_words, cut=normalise):
    transcript = session()
    return word_times(spoken_words, transcript.words, transcript.sent_at_s, cut)


def judge(transcript, outcome=Exit.COMPLETE):
    return report(0, SessionResult(STREAM, transcript, Outcome(outcome), 0), normalise, MESSAGE)


def judged(number=0, first_s=100.0, outcome=Exit.COMPLETE, **books):
    return report(number, SessionResult(STREAM, session(first_s, **books), Outcome(outcome), 1), normalise, MESSAGE)


def test_words_are_timed_from_their_last_sample():
    """A word counts from when its end was sent until it was shown, and committed; a wrong one has no time."""
    times = timed(STREAM.spoken().words)
    # The end of "Ask" was in the fifth message: sent at 0.4 s.
    assert [(time.text, time.end_s) for time in times] == [("Ask", 0.5), ("not,", 1.0), ("my", 1.5)]
    assert [time.shown_s for time in times] == pytest.approx([0.35, 0.85, 0.35])
    assert [time.committed_s for time in times] == pytest.approx([1.35, 1.35, 0.85])


def test_a_word_without_a_time_has_no_delay():
    """Words without a time in the manifest help the alignment and are left out of the delays."""
    words = (SpokenWord("Ask", None), SpokenWord("not", 1.0))
    assert [time.text for time in timed(words)] == ["not"]


def test_a_word_of_two_parts_is_one_word():
    """What normalising splits is still timed once."""
    times = timed([SpokenWord("Ask,not", 1.0)], lambda text: text.lower().replace(",", " ").split())
    assert [time.text for time in times] == ["Ask,not"]


def test_a_session_is_judged():
    """Setup, delays at the end, books and errors come from the transcript."""
    one = judged()
    assert (one.outcome, one.audio_s, one.text) == ("complete", 2.0, "Ask not my fiend")
    assert [(score.words, score.errors) for score in one.scores] == [(4, 1)]
    assert one.setup_ms == pytest.approx(250.0)
    assert one.last_words_s == pytest.approx(0.25)
    assert one.flush_s == pytest.approx(0.5)
    assert one.held_back_s == pytest.approx(0.0)
    assert one.books is True
    assert not one.failed


@pytest.mark.parametrize("books", [{"received": 31_999}, {"silence": 1_999}, {"dropped": 1}])
def test_books_that_do_not_add_up_fail_a_session(books):
    """Every sample sent must be received, and be one of transcribed, silence and dropped."""
    one = judged(**books)
    assert one.books is False
    assert one.failed


def test_a_broken_promise_fails_a_session():
    """A server that takes back committed text fails, whatever else it did."""
    transcript = session()
    transcript.violations.append("committed text changed")
    assert judge(transcript).failed


def test_last_words_before_the_end_took_no_time():
    """A server that has committed everything before the audio ended lets its user not wait."""
    transcript = spoken(10.0)
    fold(transcript, final(1, 0, "Ask"), 11.0)
    transcript.ended_s = 12.0
    fold(transcript, ReadyToStop(2, None), 12.25)
    one = judge(transcript)
    assert (one.last_words_s, one.flush_s, one.books) == (0.0, 0.25, None)


def test_a_client_held_back_is_seen():
    """Audio sent later than spoken is no lag of a word, so it has a figure of its own."""
    transcript = spoken(10.0, samples=16_000)
    transcript.sent(16_000, 15.0)
    one = judge(transcript, Exit.FAILED)
    assert one.held_back_s == pytest.approx(15.0 - 11.9)


@pytest.mark.parametrize(
    ("messages", "changed"),
    [
        ([partial(1, 0, "", "the cat sad on"), partial(2, 0, "", "The cat, sat in the")], 1),
        ([partial(1, 0, "so", "my fellow Americans"), partial(2, 0, "so", "")], 2),
        (
            [
                partial(1, 0, "", "one two three four"),
                partial(2, 0, "one two", "three four five"),
                final(3, 0, "one two three"),
                partial(4, 1, "", "four five six"),
                partial(5, 1, "four five", "six seven"),
                final(6, 1, "four five six seven"),
                ReadyToStop(7, None),
            ],
            0,
        ),
        (
            [
                partial(1, 0, "one", "two"),
                final(2, 0, "one two"),
                partial(3, 1, "", "four fife six"),
                partial(4, 1, "", "four five six"),
            ],
            1,
        ),
    ],
    ids=["but the newest", "vanished", "only moved", "next segment"],
)
def test_changed_words_are_counted(messages, changed):
    """Words count that change or vanish, but not the newest, nor for case and commas, nor those that only move."""
    transcript, changes = Transcript(0.0), ChangeCounter()
    for message in messages:
        fold(transcript, message, 1.0)
        if not isinstance(message, Final):
            changes.observe(transcript)
    assert transcript.violations == []
    assert changes.changed == changed


def test_lag_is_judged_while_all_speak():
    """The lag at the end is that of the last seconds of the speech of all, the growth that of its second half."""
    samples = tuple(Sample(float(second), 0.5 + max(0, second - 30) / 60, 1.0) for second in range(61))
    samples += (Sample(61.0, 9.0, 2.0),)
    figures = server_figures(Observations(samples, CpuTime(1.0, 3.0), 0.5), 100.0, (0.0, 60.0))
    assert figures["lag_max_s"] == 9.0
    assert figures["lag_end_s"] == pytest.approx(1.0)
    assert figures["lag_growth_s_per_min"] == pytest.approx(1.0)
    assert (figures["cpu_per_audio_s"], figures["client_cpu_per_audio_s"]) == (0.04, 0.005)
    assert figures["load_average"] == 2.0


def test_what_is_unknown_stays_unknown():
    """Without samples, processes or audio no figure is made up."""
    figures = server_figures(UNSEEN, 0.0, None)
    assert (figures["lag_max_s"], figures["lag_end_s"], figures["cpu_per_audio_s"], figures["load_average"]) == (
        None,
    ) * 4


def test_a_load_is_summed_up():
    """Words are pooled over sessions, sessions are counted, and a missing session is not complete."""
    reports = [judged(0), judged(1, first_s=100.5), judged(2, first_s=101.0, outcome=Exit.REFUSED)]
    assert all_speaking_s(reports) == pytest.approx((100.5, 101.9))
    summary = summarise(4, reports, UNSEEN, all_speaking_s(reports))
    figures = summary.figures
    assert (figures["complete"], figures["not_complete"]) == (2, 2)
    assert summary.outcomes == {"complete": 2, "refused": 1}
    assert figures["wer_percent"] == pytest.approx(25.0)
    assert figures["timed_percent"] == pytest.approx(75.0)
    assert figures["changed_percent"] == pytest.approx(25.0)
    assert figures["shown_p50_s"] == pytest.approx(0.35)
    assert figures["reference_wer_percent"] is None


def test_a_reference_is_compared():
    """The difference to the offline transcript is in points, of the same utterances."""
    reports = [judged(0), judged(1)]
    perfect = [type(score)(score.words, 0) for each in reports for score in each.scores]
    summary = summarise(2, reports, UNSEEN, None, perfect)
    assert summary.figures["reference_wer_percent"] == 0.0
    assert summary.figures["wer_above_reference_points"] == pytest.approx(25.0)
    assert summary.above.value == pytest.approx(25.0)


def test_results_are_json_without_secrets():
    """All figures, samples and words are in the file, with moments counted from the load's start."""
    reports = [judged()]
    seen = Observations((Sample(99.0, 0.25, 1.0),), CpuTime(None, None), 0.0)
    summary = summarise(1, reports, seen, all_speaking_s(reports))
    text = render({"url": "ws://host/asr"}, [describe(summary, seen, reports)])
    assert "secret" not in text
    (run,) = json.loads(text)["runs"]
    assert run["figures"]["complete"] == 1
    assert run["samples"] == [{"at_s": 0.0, "lag_s": 0.25, "load_average": 1.0}]
    assert run["sessions"][0]["speaking_s"] == [1.0, 2.9]
    assert run["sessions"][0]["word_times"][0] == ["Ask", 0.5, 0.35, 1.35]
    assert run["sessions"][0]["scores"] == [[4, 1]]


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("lag<=1.5", 1.5, True),
        ("lag<1.5", 1.5, False),
        ("lag >= -2", -1.0, True),
        ("4:lag>3", 3.0, False),
        ("lag<=1", None, False),
    ],
)
def test_a_bound_is_held(text, value, met):
    """A figure is compared as was asked; one that is unknown meets nothing."""
    assert parse_bound(text, ["lag"]).met({"lag": value}) is met


def test_a_bound_may_concern_one_load():
    """With a number in front only that many streams are meant."""
    assert [parse_bound("16:lag<=1", ["lag"]).concerns(count) for count in (1, 16)] == [False, True]
    assert parse_bound("lag<=1", ["lag"]).concerns(1)


@pytest.mark.parametrize("text", ["lag", "lag<=", "lag=1", "delay<=1", "x:lag<=1", "lag<=1s"])
def test_a_wrong_bound_is_refused(text):
    """A typing error must not pass as a bound that is met."""
    with pytest.raises(ValueError, match="lag"):
        parse_bound(text, ["lag"])

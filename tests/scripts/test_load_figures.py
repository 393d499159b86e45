"""timing, changes, session, observations and summary: figures from a scripted transcript."""

import json
from dataclasses import replace

import pytest
from whisper_live_client.events import Accounting, Config, Final, FinalWord, Partial, ReadyToStop, Status
from whisper_live_client.outcome import Exit, Outcome
from whisper_live_client.transcript import Transcript

from scripts.load.changes import Changes
from scripts.load.material import Material, Spacing, SpokenWord, Utterance, streams
from scripts.load.observations import Observations, Sample, Usage, judge
from scripts.load.results import describe, render
from scripts.load.session import Conversation, all_speaking_s, report
from scripts.load.summary import summarise
from scripts.load.timing import percentile, word_times

MESSAGE = 1_600
LINE = Utterance(
    "line", "Ask not, my friend", (("Ask", 0.5), ("not,", 1.0), ("my", 1.5), ("friend", 2.0)), bytes(64_000)
)
(STREAM,) = streams(Material("test", ((LINE,),), Spacing(0.0, 0.0)), 1, None)


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


def story(first_s=100.0, **books):
    """Give a session of two seconds, heard right but for one word."""
    transcript = spoken(first_s)
    fold(transcript, Config(1, session="s", resume_token="secret"), first_s - 0.9)
    fold(transcript, Status(2, "Ready to transcribe", 0), first_s - 0.75)
    fold(transcript, partial(3, 0, "", "Ask"), first_s + 0.75)
    fold(transcript, partial(4, 0, "Ask", "not my"), first_s + 1.75)
    transcript.audio_ended(first_s + 2.0)
    fold(transcript, final(5, 0, "Ask not my fiend"), first_s + 2.25)
    told = {"received": 32_000, "transcribed": 30_000, "silence": 2_000, "dropped": 0, **books}
    fold(transcript, ReadyToStop(6, Accounting(**told)), first_s + 2.5)
    return transcript


def judged(number=0, first_s=100.0, outcome=Exit.COMPLETE, **books):
    return report(Conversation(number, STREAM, story(first_s, **books), Outcome(outcome), 1), normalise, MESSAGE)


def test_words_are_timed_from_their_last_sample():
    """A word counts from when its end was sent until it was shown, and committed; a wrong one has no time."""
    times = word_times(STREAM.script(32_000).words, story(), normalise)
    # The end of "Ask" was in the fifth message: sent at 0.4 s.
    assert [(time.text, time.end_s) for time in times] == [("Ask", 0.5), ("not,", 1.0), ("my", 1.5)]
    assert [time.shown_s for time in times] == pytest.approx([0.35, 0.85, 0.35])
    assert [time.committed_s for time in times] == pytest.approx([1.35, 1.35, 0.85])


def test_a_word_that_nobody_timed_has_no_delay():
    """Words without a time in the manifest help the alignment and are left out of the delays."""
    words = (SpokenWord("Ask", None), SpokenWord("not", 1.0))
    assert [time.text for time in word_times(words, story(), normalise)] == ["not"]


def test_a_word_of_two_parts_is_one_word():
    """What normalising splits is still timed once."""
    times = word_times([SpokenWord("Ask,not", 1.0)], story(), lambda text: text.lower().replace(",", " ").split())
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
    transcript = story()
    transcript.violations.append("committed text changed")
    assert report(Conversation(0, STREAM, transcript, Outcome(Exit.COMPLETE), 0), normalise, MESSAGE).failed


def test_last_words_before_the_end_took_no_time():
    """Who has committed everything before the audio ended lets nobody wait."""
    transcript = spoken(10.0)
    fold(transcript, final(1, 0, "Ask"), 11.0)
    transcript.audio_ended(12.0)
    fold(transcript, ReadyToStop(2, None), 12.25)
    one = report(Conversation(0, STREAM, transcript, Outcome(Exit.COMPLETE), 0), normalise, MESSAGE)
    assert (one.last_words_s, one.flush_s, one.books) == (0.0, 0.25, None)


def test_a_client_held_back_is_seen():
    """Audio sent later than spoken is no lag of a word, so it has a figure of its own."""
    transcript = spoken(10.0, samples=16_000)
    transcript.sent(16_000, 15.0)
    one = report(Conversation(0, STREAM, transcript, Outcome(Exit.FAILED), 0), normalise, MESSAGE)
    assert one.held_back_s == pytest.approx(15.0 - 11.9)


def watch(*messages):
    transcript, changes = Transcript(0.0), Changes()
    for message in messages:
        fold(transcript, message, 1.0)
        if not isinstance(message, Final):
            changes.observe(transcript)
    assert transcript.violations == []
    return changes.changed


def test_a_changed_word_counts_but_not_the_newest():
    """Of the words shown the last one may be half said; case and commas are no change."""
    assert watch(partial(1, 0, "", "the cat sad on"), partial(2, 0, "", "The cat, sat in the")) == 1


def test_a_vanished_tail_counts():
    """Words that are taken away were shown in vain."""
    assert watch(partial(1, 0, "so", "my fellow Americans"), partial(2, 0, "so", "")) == 2


def test_committed_words_and_handed_over_tails_do_not_count():
    """Text that only moves, into the committed part or into the next segment, has not changed."""
    messages = [
        partial(1, 0, "", "one two three four"),
        partial(2, 0, "one two", "three four five"),
        final(3, 0, "one two three"),
        partial(4, 1, "", "four five six"),
        partial(5, 1, "four five", "six seven"),
        final(6, 1, "four five six seven"),
        ReadyToStop(7, None),
    ]
    assert watch(*messages) == 0


def test_changes_after_a_closed_segment_are_counted_in_the_next():
    """Closing a segment must not shift what is compared."""
    messages = [
        partial(1, 0, "one", "two"),
        final(2, 0, "one two"),
        partial(3, 1, "", "four fife six"),
        partial(4, 1, "", "four five six"),
    ]
    assert watch(*messages) == 1


@pytest.mark.parametrize(("share", "value"), [(0, 1.0), (50, 2.5), (95, 3.85), (100, 4.0)])
def test_a_percentile_lies_between_its_neighbours(share, value):
    """Between two values it is taken in proportion."""
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == pytest.approx(value)


def test_nothing_has_no_percentile():
    """No values, no figure."""
    assert percentile([], 50) is None


def test_lag_is_judged_while_all_speak():
    """The lag at the end is that of the last seconds of everyone's speech, the growth that of its second half."""
    samples = tuple(Sample(float(second), 0.5 + max(0, second - 30) / 60, 1.0) for second in range(61))
    samples += (Sample(61.0, 9.0, 2.0),)
    figures = judge(Observations(samples, Usage(1.0, 3.0, 0.5)), 100.0, (0.0, 60.0))
    assert figures.lag_max_s == 9.0
    assert figures.lag_end_s == pytest.approx(1.0)
    assert figures.lag_growth_s_per_min == pytest.approx(1.0)
    assert (figures.cpu_per_audio_s, figures.client_cpu_per_audio_s) == (0.04, 0.005)
    assert figures.load_average == 2.0


def test_what_is_unknown_stays_unknown():
    """Without samples, processes or audio no figure is made up."""
    figures = judge(Observations((), Usage(None, None, 0.0)), 0.0, None)
    assert (figures.lag_max_s, figures.lag_end_s, figures.cpu_per_audio_s, figures.load_average) == (None,) * 4


def test_a_load_is_summed_up():
    """Words are pooled over sessions, sessions are counted, and a missing session is not complete."""
    reports = [judged(0), judged(1, first_s=100.5), judged(2, first_s=101.0, outcome=Exit.REFUSED)]
    assert all_speaking_s(reports) == pytest.approx((100.5, 101.9))
    summary = summarise(4, reports, Observations((), Usage(None, None, 0.0)), all_speaking_s(reports))
    figures = summary.figures()
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
    summary = summarise(2, reports, Observations((), Usage(None, None, 0.0)), None, perfect)
    assert summary.words.reference_wer_percent == 0.0
    assert summary.words.wer_above_reference_points == pytest.approx(25.0)
    assert summary.comparison.above.value == pytest.approx(25.0)


def test_results_are_json_without_secrets():
    """All figures, samples and words are in the file, with moments counted from the load's start."""
    reports = [judged()]
    seen = Observations((Sample(99.0, 0.25, 1.0),), Usage(None, None, 0.0))
    summary = summarise(1, reports, seen, all_speaking_s(reports))
    text = render({"url": "ws://host/asr"}, [describe(summary, seen, reports)])
    assert "secret" not in text
    (run,) = json.loads(text)["runs"]
    assert run["figures"]["complete"] == 1
    assert run["samples"] == [{"at_s": 0.0, "lag_s": 0.25, "load_average": 1.0}]
    assert run["sessions"][0]["speaking_s"] == [1.0, 2.9]
    assert run["sessions"][0]["word_times"][0] == ["Ask", 0.5, 0.35, 1.35]
    assert run["sessions"][0]["scores"] == [[4, 1]]

"""scripts/bench and scripts/capacity: agreement, races, latencies, windows, simulated loads, with scripted models."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.bench.comparison import race
from scripts.bench.figures import figures_of, score_result, total
from scripts.bench.latencies import Latencies
from scripts.bench.local_agreement import HeardWord, LocalAgreement, LocalAgreementRun
from scripts.bench.samples import Contestant, Result, Sample, Transcription, Update
from scripts.bench.slots import ours
from scripts.capacity.simulation import StepTimes, most_streams, simulate
from scripts.capacity.stages import Stages
from scripts.capacity.windows import measured_windows
from scripts.tools.scoring import normaliser
from shared.messages import Word
from shared.settings import WorkerSettings
from tests.scripted_recognizer import ScriptedRecognizer, say

SAID = say([0.5, "one", "two", "three", "four", 1.0, "five", "six", 1.0])
TEXTS = ("one two three four", "five six")
SAMPLE = Sample(
    ("a", "b"),
    SAID.pcm,
    SAID.pcm.astype(np.float32) / 32768.0,
    TEXTS,
    tuple((word.text, word.end / 16_000) for word in SAID.words),
)


def silent(*texts, timed=()):
    """Return a sample without audio."""
    return Sample(("x",), np.zeros(0, np.int16), np.zeros(0, np.float32), texts, timed)


def heard(*samples, contestant=None, **options):
    """Run one contestant, ours unless another is given, over samples."""
    contestant = contestant or ours(ScriptedRecognizer(), 0.5, "en")
    [result] = race(samples or [SAMPLE], [contestant], lambda _: None, **options)
    return result


def usual(name, model, period_s):
    """Return LocalAgreement around a model as a contestant."""
    return Contestant(name, lambda sample: LocalAgreementRun(model, period_s, sample))


def words(*texts, start_s=0.0):
    """Return words of half a second each."""
    return [HeardWord(f" {text}", start_s + i / 2, start_s + (i + 1) / 2) for i, text in enumerate(texts)]


class Reader:
    """A model that knows what is said: the words that have ended in the audio it is given."""

    def hear(self, audio, _prompt):
        return [
            HeardWord(f" {word.text}", word.start / 16_000, word.end / 16_000)
            for word in SAID.words
            if word.end <= len(audio)
        ]


def test_what_two_hypotheses_agree_on_is_committed():
    """The longest common beginning is committed; the rest is the tail, until the end commits it."""
    policy = LocalAgreement()
    policy.take(words("a", "b", "c"), 1.5)
    assert policy.committed == []
    policy.take(words("a", "b", "d", "e"), 2.0)
    assert [word.text for word in policy.committed] == [" a", " b"]
    assert [word.text for word in policy.tail] == [" d", " e"]
    policy.finish()
    assert [word.text for word in policy.committed] == [" a", " b", " d", " e"]


def test_committed_words_that_are_heard_later_come_once():
    """A window whose times have moved a little does not say its last committed words again."""
    policy = LocalAgreement()
    for now_s in (2.0, 2.5):
        policy.take(words("a", "b", "c"), now_s)
    for now_s in (3.0, 3.5):
        policy.take(words("b", "c", "d", start_s=1.45), now_s)
    assert "".join(word.text for word in policy.committed) == " a b c d"


def test_a_long_window_is_cut_after_its_last_sentence():
    """Past 15 s the window begins after the last committed sentence, whose text is the prompt; past 28 s all is taken."""
    policy = LocalAgreement()
    said = words(*[f"w{i}" for i in range(20)], "end.", "new", "start")
    policy.take(said, 14.0)
    policy.take(said, 15.5)
    assert policy.start_s == said[20].end_s
    assert policy.prompt.endswith(" w19 end.")
    policy.take(words("new", "start", "again", start_s=policy.start_s), 40.0)
    assert policy.start_s == 40.0
    assert policy.tail == []


def test_contestants_race_side_by_side():
    """All hear all of the audio; figures say what was wrong, how late words came, and what it cost against the plain one."""
    told = []
    contestants = [ours(ScriptedRecognizer(), 0.5, "en"), usual("plain, 0.5 s", Reader(), 0.5)]
    results = race([SAMPLE, SAMPLE], contestants, told.append)
    assert [result.name for result in results] == ["ours, 0.5 s", "plain, 0.5 s"]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(2 * len(SAID.pcm) / 16_000, abs=1.0)
    normalise = normaliser("de")
    texts = ["one two tree four five six", " ".join(TEXTS)]
    offline = Result("offline", [Transcription(SAMPLE.audio_s, [Word(text, 0, 1, 1.0)]) for text in texts], 3.0)
    reference = score_result(offline, [SAMPLE, SAMPLE], normalise)
    found = [
        figures_of(score_result(result, [SAMPLE, SAMPLE], normalise, reference.scores), results[1])
        for result in results
    ]
    for each in found:
        assert (each["words"], each["heard"], each["wer_percent"], each["changed_percent"]) == (12, 12, 0.0, 0.0)
        assert each["above_offline"].value == pytest.approx(-100 / 12)
        assert 0 <= each["shown_p50_s"] + 0.12 <= each["committed_p50_s"] <= each["committed_p95_s"] <= 2.0
        assert 0 < each["window_s"] <= each["longest_s"] <= SAMPLE.audio_s
    assert found[1]["ratio"] == 1.0
    assert found[0]["ratio"] == pytest.approx(results[1].cpu_s / results[0].cpu_s)
    assert found[0]["accepted_percent"] > 50
    assert found[1]["accepted_percent"] is None
    beside = figures_of(reference, None)
    assert beside["wer_percent"] == pytest.approx(100 / 12)
    assert {beside[name] for name in ("shown_p50_s", "changed_percent", "decodes", "held_s")} == {None}
    assert beside["cpu_per_audio_s"] == pytest.approx(1.5 / SAMPLE.audio_s)


def test_every_word_is_shown_within_a_period_and_committed_after_it_was_shown():
    """All samples are accounted for, and each word is found without error."""
    result = heard()
    [transcription] = result.transcriptions
    found = Latencies()
    found.add(SAMPLE, transcription)
    assert (transcription.text, found.heard) == (" ".join(TEXTS), 6)
    assert len(found.shown) == len(found.committed) == 6
    # The scripted recognizer knows a word, as a model may, when two thirds of its 0.35 s are there.
    assert all(-0.12 <= shown <= committed for shown, committed in zip(found.shown, found.committed, strict=True))
    assert max(found.shown) <= 0.8
    accounting = transcription.accounting
    assert accounting.transcribed + accounting.silence + accounting.unclear == len(SAID.pcm)
    assert 0 < transcription.held <= len(SAID.pcm)


def test_all_at_once_needs_fewer_decodes_for_the_same_words():
    """A backlog is decoded once an utterance."""
    [live], [backlog] = heard().transcriptions, heard(piece_s=0.0).transcriptions
    assert live.text == backlog.text
    assert len(backlog.windows) == 2 < len(live.windows)


def test_a_failing_recognizer_ends_the_race():
    """What the recognizer answers in place of a result is raised."""
    with pytest.raises(RuntimeError, match="poison"):
        heard(replace(SAMPLE, pcm=say([0.3, "one", "poison", 1.0]).pcm))


def test_changed_words_are_counted_but_for_the_newest():
    """A word that was shown counts if it vanishes or is committed as another one; the last of a tail does not."""
    result = Transcription(3.0, [Word(" won", 0, 1, 0.9), Word(" two", 1, 2, 0.9), Word(" three", 2, 3, 0.9)])
    result.updates = [Update(1.0, 0, " one to"), Update(2.0, 0, " won too tree"), Update(3.0, 3, "")]
    found = Latencies()
    found.add(silent("won two three", timed=(("won", 0.5), ("two", 1.0), ("three", 1.5))), result)
    assert found == Latencies(shown=[1.5, 2.0, 1.5], committed=[2.5, 2.0, 1.5], changed=2, heard=3)
    found.add(silent(), Transcription(1.0, [Word("more", 0, 1, 0.9)]))
    assert (found.changed, found.heard, len(found.shown)) == (2, 4, 3)


def test_a_word_that_comes_again_is_not_shown_before_it_was():
    """Of two equal words the one at the tail's place is shown, not the later one."""
    said = (("the", 0.5), ("first", 1.0), ("of", 1.5), ("the", 2.0))
    result = Transcription(3.0, [Word(f" {word}", 0, 1, 0.9) for word, _ in said])
    result.updates = [Update(1.0, 0, " the"), Update(3.0, 4, "")]
    found = Latencies()
    found.add(silent("the first of the", timed=said), result)
    assert found.shown == [0.5, 2.0, 1.5, 1.0]


def test_parts_in_two_languages_make_one_figure():
    """Errors, words and time add up; latencies are those of all words."""
    wrong = replace(SAMPLE, texts=("one zwei three four", "five six"))
    parts = [score_result(heard(), [sample], normaliser("de")) for sample in (SAMPLE, wrong)]
    alone, both = total("de", parts[:1]), total("all", parts)
    assert both["words"] == 12
    assert [both[name] for name in ("audio_s", "decodes")] == [2 * alone[name] for name in ("audio_s", "decodes")]
    assert (alone["wer_percent"], both["wer_percent"]) == (0.0, pytest.approx(100 / 12))
    assert both["shown_p50_s"] == pytest.approx(alone["shown_p50_s"])


def test_ours_is_told_language_and_task_and_tells_what_it_heard():
    """Each window is asked for in the language given and the task; the transcription says what it was taken for."""
    model = ScriptedRecognizer()
    asked = set()
    hear = model.transcribe
    model.transcribe = lambda requests: (asked.update((r.language, r.task) for r in requests), hear(requests))[1]
    given = heard(contestant=ours(model, 0.5, "fr", task="translate"))
    assert asked == {("fr", "translate")}
    detected = heard(contestant=ours(model, 0.5, None))
    assert (None, "transcribe") in asked
    assert (given.transcriptions[0].language, detected.transcriptions[0].language) == ("fr", "en")


def test_a_silent_sample_has_no_figures_of_words():
    """Where nothing is said and nothing heard, figures are unknown and not zero."""
    silence = replace(silent(""), pcm=np.zeros(16_000, np.int16))
    found = figures_of(score_result(heard(silence), [silence], normaliser("en")), None)
    assert {found[name] for name in ("wer_percent", "shown_p50_s", "ratio", "above_offline")} == {None}


def test_a_stage_is_timed_without_the_stages_it_calls():
    """Of three seconds in an outer part, two in an inner one count there alone."""
    now = 0.0

    def inner():
        nonlocal now
        now += 2.0

    def outer():
        nonlocal now
        now += 1.0
        timed_inner()

    stages = Stages(lambda: now)
    timed_inner, timed_outer = stages._timed(inner, "inner"), stages._timed(outer, "outer")
    timed_outer()
    timed_outer()
    assert stages.spent == {"outer": 2.0, "inner": 4.0}


def test_windows_are_noted_as_those_that_were_measured():
    """What each decode had to do is known, of this run as of the speech that capacities are found with."""
    for shapes in (heard().transcriptions[0].windows, *measured_windows().values()):
        assert len(shapes) > 5
        assert all(0 <= each.accepted <= min(each.drafted, each.found) for each in shapes)
        assert all(each.samples > 0 for each in shapes)


TIMES = StepTimes({0.5: {1: 0.01, 10: 0.1}, 2.0: {1: 0.02, 10: 0.2}}, listen_s=0.0, frame_s=0.0)
SETTINGS = WorkerSettings.defaults()


def test_step_times_between_measured_ones():
    """Times lie on the line between two measured sizes and cadences, and stay level beyond them."""
    assert TIMES.step_s(1, 0.5) == pytest.approx(0.01)
    assert TIMES.step_s(10, 2.0) == pytest.approx(0.2)
    assert TIMES.step_s(5, 1.25) == pytest.approx((0.05 + 0.1) / 2)
    assert TIMES.step_s(50, 9.0) == pytest.approx(0.2)


def test_few_streams_lag_by_a_period_and_too_many_without_bound():
    """With time to spare the lag is that of the shortest period; at twice what a worker can do it only grows."""
    few = simulate(4, TIMES, SETTINGS)
    assert 0.2 < few.lag_p50_s < few.lag_p95_s < 0.65
    assert few.period_s == 0.5
    assert few.busy < 0.2
    many = simulate(300, TIMES, SETTINGS)
    assert many.lag_p95_s > 2.5
    assert many.busy > 0.95
    assert many.period_s == 2.0


def test_the_most_streams_are_found():
    """The largest load meets the bound, the next does not, and half the time a step carries more of them."""
    good, bad = most_streams(TIMES, SETTINGS, 1.5)
    assert good.lag_p95_s < 1.5 <= bad.lag_p95_s
    assert bad.streams - good.streams <= max(1, good.streams // 100)
    quick = StepTimes({c: {n: s / 2 for n, s in steps.items()} for c, steps in TIMES.steps.items()}, 0.0, 0.0)
    assert most_streams(quick, SETTINGS, 1.5)[0].streams > 1.5 * good.streams
    deaf = StepTimes(TIMES.steps, listen_s=0.0, frame_s=0.004)
    assert most_streams(deaf, SETTINGS, 1.5)[0].streams < 0.5 * good.streams
    assert most_streams(StepTimes({1.0: {1: 9.0}}, 0.0, 0.0), SETTINGS, 1.5)[0] is None


def test_a_result_without_stages_shows_none():
    """Shares of stages are unknown where none was watched, and add up to the whole where they were."""
    bare = heard(contestant=usual("x", Reader(), 1.0))
    bare.cpu_s = 2.0
    found = score_result(bare, [SAMPLE], normaliser(None))
    assert figures_of(found, None)["stages_percent"] is None
    bare.stages = {"mel": 0.5, "encoder": 1.0}
    assert figures_of(found, None)["stages_percent"] == {"mel": 25.0, "encoder": 50.0, "the rest": 25.0}

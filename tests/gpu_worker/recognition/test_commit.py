from dataclasses import replace

from gpu_worker.recognition.commit import decide
from gpu_worker.recognition.planner import Plan
from gpu_worker.recognition.window import Window
from gpu_worker.recognizer import TimedWord, WindowResult
from shared.messages import CommittedToken
from tests.gpu_worker.recognition.driver import POLICY, timed, window_result

S = 16_000


def result(*items: tuple[str, float], end_s: float, **values) -> WindowResult:
    return window_result(timed(*items), end=round(end_s * S), **values)


def run(window: Window, found: WindowResult, *, speech_s: float, final: bool = False, cadence_s: float = 1.0):
    return decide(window, Plan(found.end, final, round(cadence_s * S)), found, round(speech_s * S), POLICY)


def taken(decision) -> list[str]:
    return [word.text for word in decision.taken]


def test_underway_only_safe_words_are_taken():
    """The rest stays open as tail and draft."""
    window = Window(0, asked_until=0)
    decision = run(window, result((" a", 1.0), (" b", 2.0), (" c", 2.9), end_s=3.0), speech_s=3.0)
    assert taken(decision) == [" a", " b"]
    assert decision.window is window
    assert [word.text for word in window.tail] == [" c"]
    assert window.asked_until == 3 * S
    assert not decision.closes


def test_no_first_word_is_taken_from_a_short_window():
    """What Whisper makes of a second of speech is a guess; once a word is committed the rule no longer applies."""
    found = result((" a", 0.4), (" b", 1.4), end_s=1.5)
    assert taken(run(Window(0, asked_until=0), found, speech_s=1.5)) == []
    assert taken(run(Window(0, asked_until=0), replace(found, end=2 * S), speech_s=2.0)) == [" a", " b"]
    settled = Window(0, asked_until=0, committed=(CommittedToken(0, round(0.4 * S)),))
    later = replace(found, tokens=(1,), logprobs=(-0.1,), end=round(1.58 * S))
    assert taken(
        run(
            settled, replace(later, words=(*found.words[:1], replace(found.words[1], end=round(0.9 * S)))), speech_s=1.5
        )
    )


def test_at_the_end_everything_is_taken():
    """Nothing stays open when the utterance is over."""
    decision = run(Window(0, asked_until=0), result((" a", 1.0), (" b", 1.4), end_s=1.5), speech_s=1.4, final=True)
    assert taken(decision) == [" a", " b"]
    assert decision.window is None
    assert decision.closes


def test_a_hidden_hypothesis_is_dropped_at_the_end():
    """What was hidden while it could change is not committed at the end either."""
    found = result((" you", 1.0), end_s=1.5, logprob=-1.5, no_speech=0.5)
    assert taken(run(Window(0, asked_until=0), found, speech_s=1.4, final=True)) == []


def test_speech_that_is_hard_to_the_model_is_not_lost():
    """Unlikely words of what is surely speech commit nothing, nor do the next agree with them; at the end they are committed."""
    guess = result((" tigre", 1.0), (" du", 1.4), end_s=3.0, logprob=-1.5, no_speech=0.1)
    window = Window(0, asked_until=0)
    assert taken(run(window, guess, speech_s=2.0, cadence_s=0.5)) == []
    assert [word.text for word in window.tail] == [" tigre", " du"]
    assert taken(run(window, replace(guess, logprobs=(-0.8, -0.8)), speech_s=2.0, cadence_s=0.5)) == []
    assert taken(run(window, guess, speech_s=2.0, final=True)) == [" tigre", " du"]


def test_a_loop_commits_nothing_underway_and_one_copy_at_the_end():
    """A repetition may be the window's fault: the next decode decides, and at the end one copy stays."""
    found = result((" la", 1.0), (" x", 2.9), end_s=3.0, looped=True)
    window = Window(0, asked_until=0)
    assert taken(run(window, found, speech_s=3.0)) == []
    assert not window.trusted
    assert taken(run(window, found, speech_s=3.0, final=True)) == [" la", " x"]


def test_what_follows_a_loop_is_decoded_anew_at_the_end():
    """A cut loop says nothing about the speech after it: a few tries are made from where its last copy ends."""
    found = result((" la", 1.0), end_s=6.0, looped=True)
    window = Window(0, asked_until=0)
    assert run(window, found, speech_s=5.0).window is window  # underway the next decode may mend it
    decision = run(window, found, speech_s=5.0, final=True)
    assert taken(decision) == [" la"]
    assert not decision.closes
    assert decision.window.start == S
    assert (
        run(replace(decision.window, stalls=POLICY.flush_stall_tries), found, speech_s=5.0, final=True).window is None
    )


def test_a_loop_in_a_window_at_its_hard_limit_is_left_behind():
    """The next window begins where the loop was cut, not where the audio ends: what follows is not decoded yet."""
    window = Window(0, asked_until=0)
    decision = run(window, result((" la", 9.0), end_s=27.0, looped=True), speech_s=27.0)
    assert (taken(decision), decision.closes) == ([" la"], True)
    assert decision.window.start < 10 * S


def test_a_long_window_is_trimmed():
    """From the window length on it is cut after a decided sentence; later words stay forced."""
    items = [(" a", 2.0), (".", 2.1), (" b", 5.0), (".", 5.1), (" c", 9.0), (" d", 12.4)]
    window = Window(0, asked_until=0, segment_before=-4 * S)
    decision = run(window, result(*items, end_s=12.5), speech_s=12.5)
    assert taken(decision) == [" a", ".", " b", ".", " c"]
    assert not decision.closes
    assert window.start == round(5.1 * S)
    assert [item.token for item in window.committed] == [4]
    assert window.draft == (5,)


def test_a_long_segment_closes_where_a_sentence_ends():
    """Words behind the sentence begin the next one; a trim in the middle of a sentence closes nothing."""
    items = [(" a", 2.0), (".", 2.1), (" b", 7.0), ('."', 7.1), (" c", 9.0), (" d", 10.4)]
    window = Window(0, asked_until=0)
    decision = run(window, result(*items, end_s=10.5), speech_s=10.5)
    assert taken(decision) == [" a", ".", " b", '."']
    assert decision.closes
    assert decision.more == 1
    assert [word.text for word in window.tail] == [" c", " d"]
    assert [word.text for word in window.commit(decision.more)] == [" c"]
    assert window.segment_before == -round(7.1 * S)
    again = replace(result(*items, end_s=15.5), tokens=(5,), logprobs=(-0.1,))
    decision = run(window, again, speech_s=12.5)
    assert window.start == round(7.1 * S)
    assert taken(decision) == [" d"]
    assert (decision.closes, decision.more) == (False, 0)


def test_a_cut_window_commits_the_words_behind_the_sentence():
    """A decode that closes a segment and trims its window leaves the next words' tokens in their places."""
    items = [(" a", 2.0), (".", 2.1), (" b", 9.0), (".", 9.1), (" c", 12.0), (" d", 13.0), (" e", 15.4)]
    window = Window(0, asked_until=0)
    decision = run(window, result(*items, end_s=15.5), speech_s=15.5)
    assert window.start == round(9.1 * S)
    assert [word.text for word in window.commit(decision.more)] == [" c", " d"]
    assert window.committed == (CommittedToken(4, 12 * S), CommittedToken(5, 13 * S))
    assert window.draft == (6,)


def test_a_segment_without_a_sentence_closes_at_last():
    """Speech without full stops does not make one endless segment."""
    found = result((" a", 2.0), (" b", 5.0), (" c", 5.9), end_s=6.0)
    open_for = {seconds: Window(0, asked_until=0, segment_before=round((seconds - 6.0) * S)) for seconds in (20, 31)}
    closes = {seconds: run(window, found, speech_s=6.0).closes for seconds, window in open_for.items()}
    assert closes == {20: False, 31: True}


def test_a_window_that_cannot_be_trimmed_goes_on():
    """Without a decided word there is nothing to cut after."""
    window = Window(0, asked_until=0)
    decision = run(window, result((" a", 12.4), end_s=12.5, logprob=-0.9), speech_s=12.5)
    assert not decision.closes
    assert window.start == 0


def test_at_the_hard_limit_everything_is_committed():
    """A window never grows past the model's context."""
    decision = run(
        Window(0, asked_until=0), result((" a", 26.0), (" b", 26.9), end_s=27.0, logprob=-0.9), speech_s=27.0
    )
    assert taken(decision) == [" a", " b"]
    assert decision.closes
    assert decision.window is not None
    assert decision.window.start == decision.window.asked_until == 27 * S
    assert decision.window.committed == ()


def test_a_hypothesis_that_passes_over_speech_starts_a_new_window():
    """If speech goes on long after the last word, the model has stopped transcribing: it starts anew after that word."""
    found = result((" a", 1.0), (" b", 2.0), end_s=6.0)
    decision = run(Window(0, asked_until=0), found, speech_s=6.0)
    assert taken(decision) == [" a", " b"]
    assert decision.window is not None
    assert (decision.window.start, decision.window.asked_until) == (2 * S, 6 * S)
    assert decision.closes
    assert run(Window(0, asked_until=0), found, speech_s=4.4).window.start == 0


def test_a_word_does_not_cover_seconds():
    """A last word stretched over untranscribed speech covers only the length of a word."""
    found = window_result([TimedWord(" a", " a", 0, 1, S, 6 * S)], end=6 * S)
    decision = run(Window(0, asked_until=0), found, speech_s=6.0)
    assert decision.window is not None
    assert decision.window.start == S + POLICY.word_span_samples


def test_a_mark_covers_no_speech():
    """A full stop stretched over a further sentence does not hide that the sentence was passed over."""
    mark = TimedWord(".", ".", 1, 2, S, round(2.4 * S))
    found = window_result([*timed((" a", 1.0)), mark], end=round(2.5 * S))
    decision = run(Window(0, asked_until=0), found, speech_s=2.4, final=True)
    assert taken(decision) == [" a", "."]
    assert decision.window is not None
    assert decision.window.start == S


def test_the_end_is_decoded_anew_a_few_times_if_it_was_passed_over():
    """The rest of an utterance gets its own window, but only a few times."""
    found = result((" a", 1.0), end_s=3.0)
    decision = run(Window(0, asked_until=0), found, speech_s=3.0, final=True)
    assert taken(decision) == [" a"]
    assert decision.window is not None
    assert (decision.window.start, decision.window.stalls) == (S, 1)
    assert not decision.closes
    last = Window(0, asked_until=0, stalls=POLICY.flush_stall_tries)
    assert run(last, found, speech_s=3.0, final=True).window is None


def test_a_stall_needs_words_that_are_trusted():
    """Noise without words, hidden words and loops are no stalls."""
    for found in (
        result(end_s=6.0),
        result((" a", 1.0), end_s=6.0, logprob=-2.0, no_speech=0.5),
        result((" a", 1.0), end_s=6.0, looped=True),
    ):
        window = Window(0, asked_until=0)
        assert run(window, found, speech_s=6.0).window is window

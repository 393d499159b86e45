import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_worker.recognizer import FRAME, VAD_FRAME, TimedWord, VadResult
from shared.messages import AudioAccounting, CommittedToken, Finished
from tests.gateway.builders import resume
from tests.gpu_worker.recognition.driver import POLICY, Driver, open_stream, window_result
from tests.scripted_recognizer import ScriptedRecognizer, say

S = 16_000
SPEECH = say(
    [0.7, "one", "two", "woodcutters", "sentence.", 1.2, "three", "café", "rainbows", 2.5]
    + ["river", "stone", "well,", "cloud"] * 10
    + ["over."]
    + ["apple", "green"] * 8
    + [2.0, "five", 0.3]
)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * S), np.int16)


def said(speech, chunk=8000, **options) -> Driver:
    driver = Driver(**options)
    driver.feed(speech.pcm, chunk)
    driver.finish()
    return driver


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period_s", [0.3, 0.5, 1.0, 2.0])
def test_every_word_is_said_once_and_in_order(period_s):
    """At any cadence the committed words are the ones spoken, where they were spoken."""
    driver = said(SPEECH, period=round(period_s * S))
    assert driver.text == SPEECH.text
    spoken = {word.text: word for word in SPEECH.words}
    for word in driver.words:
        assert 0 <= word.start <= word.end <= len(SPEECH.pcm)
        assert 0 < word.probability <= 1
    five = driver.words[-1]
    assert abs(five.start - spoken["five"].start) < FRAME
    assert abs(five.end - spoken["five"].end) < FRAME


def test_committed_words_follow_within_seconds():
    """In real time a word is committed soon after it was said, and shown before that."""
    driver = Driver(period=8000)
    shown: dict[str, int] = {}
    committed: dict[str, int] = {}
    speech = say([0.5, "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", 1.5])
    for first in range(0, len(speech.pcm), 1600):
        driver.stream.receive(first, speech.pcm[first : first + 1600].tobytes())
        driver.step()
        now = driver.stream.received
        text = driver.text + (driver.hypotheses[-1].tail if driver.hypotheses else "")
        for word in speech.words:
            if word.text in text.split():
                shown.setdefault(word.text, now - word.end)
            if word.text in driver.text.split():
                committed.setdefault(word.text, now - word.end)
    assert max(shown.values()) <= round(0.7 * S)
    assert max(committed.values()) <= round(1.5 * S)


def test_an_endpoint_that_the_last_decode_covered_costs_nothing():
    """Feeding the silence that ends an utterance asks for no further decode."""
    driver = Driver()
    driver.feed(say(["one", "two", 0.25]).pcm, chunk=len(say(["one", "two", 0.25]).pcm))
    decodes = driver.model.decodes
    driver.feed(silence(0.5))
    assert driver.text == " one two"
    assert driver.model.decodes == decodes


def test_silence_gives_no_words_and_is_never_decoded():
    """Without speech there is no decode and no text; positions go on every second or so."""
    driver = Driver()
    driver.feed(silence(10.0))
    assert driver.model.decodes == 0
    assert driver.text == ""
    assert len(driver.hypotheses) >= 8
    assert driver.stream.received - driver.hypotheses[-1].keep_from <= 2.1 * S
    assert driver.stream.lag() < VAD_FRAME
    assert not any(message.closes for message in driver.hypotheses)


@pytest.mark.parametrize("period", [8_000, 16_000, 48_000])
def test_a_monologue_is_cut_into_segments_that_end_with_a_sentence(period):
    """Speech without a pause is trimmed: final texts are whole sentences, windows stay bounded, no word is lost."""
    speech = say(["river", "stone", "well,", "cloud", "sentence."] * 30)
    driver = said(speech, period=period)
    segments, text = [], ""
    for message in driver.hypotheses:
        text += "".join(word.text for word in message.words)
        if message.closes:
            segments, text = [*segments, text], ""
    assert "".join(segments) == speech.text
    assert text == ""
    assert len(segments) >= 4
    assert all(segment.endswith(" sentence.") for segment in segments)
    assert max(driver.model.windows) <= POLICY.window_samples + max(period, 2 * S)


def test_the_tail_is_shown_and_never_holds_a_cut_character():
    """Every hypothesis's text is whole characters."""
    driver = said(say([0.2, *["café"] * 12, 0.1], word_s=0.4), model=ScriptedRecognizer(word_s=0.4))
    assert any(message.tail for message in driver.hypotheses)
    assert not any("\ufffd" in message.tail + "".join(w.text for w in message.words) for message in driver.hypotheses)
    assert driver.text == " café" * 12


# --- controls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 20_000])
def test_finish_after_any_length_of_silence(length):
    """The last partial frame is padded and accounted for to the sample."""
    driver = Driver()
    driver.stream.receive(0, bytes(2 * length))
    driver.finish()
    assert driver.out[-1] == Finished(7, AudioAccounting(until=length, transcribed=0, silence=length))


def test_finish_may_come_before_its_last_audio():
    """The stream waits for the samples up to the end that was named."""
    speech = say(["one", "two"])
    driver = Driver()
    driver.stream.finish(len(speech.pcm))
    driver.feed(speech.pcm, chunk=1000)
    driver.settle()
    assert driver.text == " one two"
    assert isinstance(driver.out[-1], Finished)


def test_audio_after_the_end_is_refused():
    """Neither more audio than `finish` named, nor an end before what is here."""
    driver = Driver()
    driver.stream.receive(0, bytes(200))
    with pytest.raises(ValueError, match="cannot end"):
        driver.stream.finish(99)
    driver.stream.finish(100)
    with pytest.raises(ValueError, match="after the end"):
        driver.stream.receive(100, bytes(2))
    driver.stream.receive(50, bytes(100))


def test_gaps_and_half_samples_are_refused():
    """A stream's audio has no holes and no shifted bytes; what it has already is ignored."""
    stream = open_stream()
    with pytest.raises(ValueError, match="gap"):
        stream.receive(1, bytes(2))
    with pytest.raises(ValueError, match="whole number"):
        stream.receive(0, bytes(3))
    assert stream.received == 0
    stream.receive(0, bytes(100))
    stream.receive(10, bytes(20))
    assert stream.received == 50


def test_finalize_commits_in_the_middle_of_speech_and_goes_on():
    """What was said before the mark is committed at once and closes the segment; later words come later."""
    first, second = say([0.3, "one", "two", "three"]), say(["four", "five", 1.0])
    driver = Driver(period=32_000)
    driver.feed(first.pcm, chunk=len(first.pcm))
    assert driver.text == ""
    driver.stream.finalize(len(first.pcm))
    driver.settle()
    assert driver.text == " one two three"
    assert driver.hypotheses[-1].closes
    driver.feed(second.pcm)
    driver.finish()
    assert driver.text == " one two three four five"
    total = driver.out[-1].accounting
    assert total.transcribed + total.silence + total.unclear == total.until


@pytest.mark.parametrize("period", [8_000, 32_000])
@pytest.mark.parametrize("chunk", [400, 1 << 20])
def test_finalize_ahead_of_the_audio_waits_for_it(period, chunk):
    """A mark in the future takes effect when the audio is there, between the words it separates."""
    speech = say([0.3, "one", "two", "three", "four"])
    at = speech.words[1].end + 400
    driver = Driver(period=period)
    driver.stream.finalize(at)
    driver.feed(speech.pcm, chunk=chunk)
    driver.finish()
    closed = next(index for index, message in enumerate(driver.hypotheses) if message.closes)
    segment = [word.text for message in driver.hypotheses[: closed + 1] for word in message.words]
    assert segment == [" one", " two"]
    assert driver.text == speech.text


def test_a_repeated_finalize_is_one_commit_point():
    """A client that finalizes at the same position again and again adds one commit point."""
    driver = Driver()
    driver.stream.receive(0, bytes(2 * S))
    for at in (S, S, S // 2, S):
        driver.stream.finalize(at)
    assert list(driver.stream._commit_points) == [S]


def test_finalize_in_silence_changes_nothing():
    """With nothing open there is nothing to close."""
    driver = Driver()
    driver.feed(silence(1.0))
    driver.stream.finalize(driver.stream.received)
    driver.stream.finalize(0)
    driver.settle()
    assert driver.text == ""
    assert not any(message.closes for message in driver.hypotheses)


# --- the seam ---------------------------------------------------------------------------------------------------


def test_one_request_is_out_at_a_time():
    """While an answer is awaited nothing more is asked; answers that do not fit a request are refused."""
    stream = open_stream()
    with pytest.raises(ValueError, match="no VAD"):
        stream.on_vad(VadResult((0.0,)))
    with pytest.raises(ValueError, match="no window"):
        stream.on_decode(window_result())
    stream.receive(0, say(["one", "two", "three"]).pcm.tobytes())
    request = stream.vad_request()
    assert len(request.pcm) % VAD_FRAME == 0
    assert stream.vad_request() is None
    with pytest.raises(ValueError, match="probabilities"):
        stream.on_vad(VadResult((0.9,)))
    stream.on_vad(VadResult((0.9,) * (len(request.pcm) // VAD_FRAME)))
    assert stream.window_request(8000) is not None
    assert stream.window_request(8000) is None


def test_audio_and_controls_may_come_while_a_request_is_out():
    """A decode in progress is not disturbed by what arrives meanwhile."""
    speech, model = say(["one", "two", "three", 1.0]), ScriptedRecognizer()
    driver = Driver(model=model)
    half = 16_000
    driver.stream.receive(0, speech.pcm[:half].tobytes())
    driver.stream.on_vad(model.detect_speech([driver.stream.vad_request()])[0])
    request = driver.stream.window_request(8000)
    driver.stream.receive(half, speech.pcm[half:].tobytes())
    driver.stream.finish(len(speech.pcm))
    driver.stream.on_vad(model.detect_speech([driver.stream.vad_request()])[0])
    driver.stream.check()
    driver.stream.on_decode(model.transcribe([request])[0])
    driver.stream.check()
    driver.settle()
    assert driver.text == " one two three"
    assert isinstance(driver.out[-1], Finished)


def test_windows_start_on_frames_with_their_context():
    """A window has at most half a second of audio before its start, and starts at a multiple of a frame."""
    driver = Driver()
    driver.feed(silence(2.013))
    stream = driver.stream
    stream.receive(stream.received, say(["one", "two", "three"]).pcm.tobytes())
    stream.on_vad(driver.model.detect_speech([stream.vad_request()])[0])
    request = stream.window_request(8000)
    assert request.start % FRAME == 0
    assert request.context == 8000
    assert request.start + len(request.pcm) - request.context <= stream.received
    onset = round(2.013 * S)
    assert onset - 0.34 * S <= request.start <= onset - 0.24 * S


def test_a_straddling_word_does_not_stick():
    """When " wood" is committed and the next hypothesis says " woodcutters", the rest of the word follows."""
    driver = Driver(period=8000)
    stream = driver.stream
    stream.receive(0, say(["one"] * 5).pcm.tobytes())
    stream.on_vad(driver.model.detect_speech([stream.vad_request()])[0])

    def answer(tokens, words, end):
        stream.on_decode(window_result(words, tokens, end=end))
        stream.check()
        return stream.take()[-1]

    first = stream.window_request(8000)
    end = first.start + len(first.pcm) - first.context
    wood = TimedWord(" wood", " wood", 0, 1, 1000, 2000)
    message = answer((5,), (wood,), end)
    assert [word.text for word in message.words] == [" wood"]
    assert message.resume.committed == (CommittedToken(5, 2000),)
    stream.receive(stream.received, say(["one"] * 3).pcm.tobytes())
    stream.on_vad(driver.model.detect_speech([stream.vad_request()])[0])
    second = stream.window_request(8000)
    assert second.committed == (5,)
    whole = TimedWord(" woodcutters", "cutters", 0, 2, 1000, 4000)
    message = answer((6,), (whole,), end + 16_000)
    assert [word.text for word in message.words] == ["cutters"]
    assert message.words[0].start == 2000


def test_lag_is_what_is_neither_decoded_nor_silence():
    """Undecoded speech counts, decoded speech and silence do not."""
    driver = Driver(period=16_000)
    driver.feed(silence(1.0))
    assert driver.stream.lag() < VAD_FRAME
    driver.feed(say(["one", "two"]).pcm, chunk=20_000)
    driver.stream.receive(driver.stream.received, say(["one", "two"]).pcm.tobytes())
    assert driver.stream.lag() >= 12_000
    driver.settle()
    driver.feed(silence(1.0))
    assert driver.stream.lag() < VAD_FRAME


def test_a_decoded_pause_is_no_lag():
    """In a pause before its endpoint everything said is decoded, and the silence after it needs no decode."""
    driver = Driver()
    speech = say(["one", "two", 0.25]).pcm
    driver.feed(speech, chunk=len(speech))
    driver.feed(silence(0.2), chunk=400)
    assert driver.hypotheses[-1].resume.speaking
    assert driver.stream.lag() < POLICY.vad_min_samples


def test_windows_of_two_utterances_do_not_overlap():
    """A late decode that reached into the silence after an utterance keeps the next window's pre-roll out of it."""
    driver = Driver(period=8_000)
    stream, model = driver.stream, driver.model
    speech = say([0.3, "one", "two", 0.62, "three", 1.0], between_s=0.0)
    second = speech.words[2]
    asked = 0
    for until in (speech.words[1].end + 7_400, len(speech.pcm)):
        stream.receive(stream.received, speech.pcm[stream.received : until].tobytes())
        stream.on_vad(model.detect_speech([stream.vad_request()])[0])
        request = stream.window_request(8_000)
        assert request.start >= asked
        asked = request.start + len(request.pcm) - request.context
        stream.on_decode(model.transcribe([request])[0])
    assert request.start < second.start
    driver.finish()
    assert driver.text == speech.text


# --- a backlog --------------------------------------------------------------------------------------------------


def test_a_backlog_is_decoded_in_order_once_an_utterance():
    """Audio that arrives all at once costs a decode an utterance, in bounded windows, and gives the same words."""
    driver = said(SPEECH)
    model = ScriptedRecognizer()
    fast = Driver(model=model)
    fast.feed(SPEECH.pcm, chunk=len(SPEECH.pcm))
    fast.finish()
    assert fast.text == driver.text == SPEECH.text
    assert model.decodes <= 6
    assert max(model.windows) <= 16 * S


def test_frames_are_judged_some_at_once():
    """In silence small pieces of audio are collected; a call costs the same for one frame as for eight."""
    stream = open_stream()
    asked = []
    for _ in range(40):
        stream.receive(stream.received, bytes(2 * VAD_FRAME))
        if request := stream.vad_request():
            asked.append(len(request.pcm))
            stream.on_vad(VadResult((0.0,) * (len(request.pcm) // VAD_FRAME)))
        stream.check()
    assert asked == [POLICY.vad_min_samples] * 5


@pytest.mark.parametrize("control", ["finalize", "finish"])
def test_controls_do_not_wait_for_frames(control):
    """What a client asks for is not put off until there is enough audio for a call."""
    stream = open_stream()
    stream.receive(0, bytes(2 * VAD_FRAME))
    assert stream.vad_request() is None
    getattr(stream, control)(VAD_FRAME)
    assert len(stream.vad_request().pcm) == VAD_FRAME


def test_a_decode_that_is_due_does_not_wait_for_frames():
    """Words are shown as soon with small pieces as with whole periods: each decode gets all the audio there is."""
    speech = say(["one", "two", "three", "four", "five", "six"])
    driver = Driver(period=8_000)
    ends = []
    original = driver.model.transcribe
    driver.model.transcribe = lambda requests: (
        ends.extend((r.start + len(r.pcm) - r.context, driver.stream.received) for r in requests),
        original(requests),
    )[1]
    driver.feed(speech.pcm, chunk=800)
    assert len(ends) >= 4
    assert all(received - end < VAD_FRAME for end, received in ends)
    assert all(two - one <= 8_800 for (one, _), (two, _) in itertools.pairwise(ends))


@pytest.mark.parametrize("chunk", [160, 512, 1600])
def test_an_utterance_ends_as_soon_in_small_pieces(chunk):
    """Its last words are committed when the silence is long enough, not when the next frames are worth a call."""
    speech = say(["one", "two", 2.0])
    driver = Driver(period=16_000)
    for first in range(0, len(speech.pcm), chunk):
        driver.stream.receive(first, speech.pcm[first : first + chunk].tobytes())
        driver.settle()
        if driver.text:
            break
    assert driver.text == " one two"
    waited = driver.stream.received - speech.words[-1].end
    assert waited <= POLICY.end_silence_samples + 2 * VAD_FRAME + chunk


def test_a_vad_request_is_bounded():
    """A backlog of a minute does not make one request of a minute."""
    stream = open_stream()
    stream.receive(0, bytes(2 * 60 * S))
    assert len(stream.vad_request().pcm) <= POLICY.vad_max_samples


def test_noise_without_words_is_bounded():
    """Sound that the VAD takes for speech and the decoder for nothing neither grows the window nor says anything."""

    class Wordless(ScriptedRecognizer):
        def transcribe(self, requests):
            return [window_result(end=r.start + len(r.pcm) - r.context, no_speech=0.9) for r in requests]

    driver = Driver(model=Wordless(), period=16_000)
    driver.feed(say(["one"] * 200).pcm)
    assert driver.stream.received - driver.hypotheses[-1].keep_from <= 29 * S
    driver.finish()
    assert driver.text == ""
    assert not any(message.closes for message in driver.hypotheses)
    assert driver.out[-1].accounting.until == driver.stream.received


def test_memory_does_not_grow_with_time():
    """Ten minutes of talk leave no more behind than one does: audio, queues and messages are bounded."""
    part = say([0.5, *["one", "two", "sentence."] * 6, 1.0])
    driver = Driver(period=16_000)
    sizes = []
    for _ in range(60):
        driver.feed(part.pcm, chunk=16_000)
        driver.out.clear()
        sizes.append(driver.stream.received - driver.stream._audio.start)
        assert len(driver.stream._endpointer.utterances) <= 1
        assert len(driver.stream._reporter.ledger._windows) <= 3
    assert max(sizes[30:]) <= max(sizes[:30])
    assert max(sizes) <= 15 * S


# --- resume -----------------------------------------------------------------------------------------------------


def test_a_resume_state_that_leaves_a_gap_is_refused():
    """Audio that begins after what the state needs cannot be resumed."""
    with pytest.raises(ValueError, match="gap"):
        open_stream(start=8001, resume=resume(8000))


def test_a_resumed_stream_waits_for_the_audio_of_its_forced_tokens():
    """No decode is asked for before the audio of the committed words is here."""
    speech = say(["one"] * 20)
    state = resume(committed=(CommittedToken(0, 32_000),))
    stream = open_stream(resume=state)
    model = ScriptedRecognizer()
    for until, asks in ((16_000, False), (32_000, False), (48_000, True)):
        stream.receive(stream.received, speech.pcm[stream.received : until].tobytes())
        stream.on_vad(model.detect_speech([stream.vad_request()])[0])
        assert (stream.window_request(8000) is not None) == asks
        stream.check()


def test_a_resumed_vad_gets_time_to_find_the_speech():
    """A resumed utterance does not end because the VAD, without its memory, takes a moment to detect the voice."""
    stream = open_stream(resume=replace(resume(0, 8_000), speaking=True))
    stream.receive(0, bytes(2 * 40 * VAD_FRAME))
    stream.vad_request()
    stream.on_vad(VadResult((0.0,) * 35 + (0.9,) * 5))
    stream.check()
    (utterance,) = stream._endpointer.utterances
    assert utterance.last_speech == 40 * VAD_FRAME


def test_a_resumed_segment_goes_on_where_it_was():
    """Its words follow the committed ones in time, and its end closes it even if nothing more was said."""
    speech = say(["one", "two", 1.0])
    state = resume(committed=(CommittedToken(0, 9_000),))
    driver = Driver(stream=open_stream(resume=state))
    driver.feed(speech.pcm, chunk=len(speech.pcm))
    driver.finish()
    (word,) = driver.words
    assert word.text == " two"
    assert word.start == 9_000
    quiet = Driver(stream=open_stream(resume=state))
    quiet.feed(silence(1.5))
    assert quiet.text == ""
    assert quiet.hypotheses[-1].closes


@pytest.mark.parametrize("at_s", [0.0, 1.0, 2.0])
def test_a_mark_before_what_is_settled_says_nothing_twice(at_s):
    """A finalize that the last worker has met does not make a resumed utterance begin again."""
    speech = say(["one", "two", "three", "four", "five", "six", "seven", "eight", "sentence.", 1.0])
    driver = Driver()
    driver.feed(speech.pcm[: 3 * S])
    last = driver.hypotheses[-1]
    assert last.resume.speaking
    assert last.committed_until > at_s * S
    moved = Driver(stream=open_stream(start=last.keep_from, resume=last.resume))
    moved.stream.finalize(round(at_s * S))
    moved.feed(speech.pcm[last.keep_from :])
    moved.stream.finalize(round(at_s * S))
    moved.finish()
    assert driver.text + moved.text == speech.text


def test_a_move_within_speech_does_not_turn_speech_into_silence():
    """What an earlier worker's window contained counts as transcribed, wherever the session moved."""
    speech = say(["river", "stone", "cloud", "sentence."] * 20)
    driver = said(speech, period=16_000)
    last = [message for message in driver.hypotheses if message.resume.window_start > 8 * S][3]
    assert last.resume.speaking
    moved = Driver(stream=open_stream(start=last.keep_from, resume=last.resume), period=16_000)
    moved.feed(speech.pcm[last.keep_from :])
    moved.finish()
    assert moved.out[-1].accounting.until == driver.out[-1].accounting.until
    assert moved.out[-1].accounting.silence - driver.out[-1].accounting.silence <= round(0.1 * S)


scripts = st.lists(
    st.one_of(
        st.sampled_from(["one", "two", "woodcutters", "rainbows", "café", "sentence.", "well,", "river"]),
        st.floats(0.1, 2.0, allow_nan=False).map(lambda seconds: round(seconds, 2)),
    ),
    min_size=1,
    max_size=40,
)


def check_whole(speech, *messages) -> None:
    """Assert that messages say a speech once, in order and within the audio, and that positions and accounting add up."""
    *hypotheses, finished = messages
    words = [word for message in hypotheses for word in message.words]
    assert "".join(word.text for word in words) == speech.text
    assert all(one.end <= two.start for one, two in itertools.pairwise(words))
    for before, after in itertools.pairwise(hypotheses):
        assert before.keep_from <= after.keep_from
        assert before.committed_until <= after.committed_until
    for message in hypotheses:
        assert message.keep_from <= message.committed_until <= message.tail_end <= len(speech.pcm)
        assert message.resume.accounting.until == message.keep_from
        assert not message.resume.speaking or message.keep_from <= message.resume.window_start
    total = finished.accounting
    assert total.transcribed + total.silence + total.unclear == total.until == len(speech.pcm)
    unclear = [(each.start, each.end) for message in hypotheses for each in message.unclear]
    assert all(0 <= start < end <= len(speech.pcm) for start, end in unclear)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(unclear))
    assert not [word for word in words for start, end in unclear if word.start < end and start < word.end]
    assert total.unclear == sum(end - start for start, end in unclear)


@settings(max_examples=40, deadline=None)
@given(scripts, st.integers(200, 40_000), st.integers(4_000, 32_000), st.floats(0, 1), st.integers(1_000, 60_000))
def test_any_speech_is_said_once_and_so_it_is_if_the_session_moves(script, chunk, period, where, moved_chunk):
    """In any pieces at any period, by one worker or by another that goes on from any of its hypotheses."""
    speech = say(script)
    driver = said(speech, chunk, period=period)
    check_whole(speech, *driver.out)
    decoded = [message.decoded for message in driver.hypotheses]
    assert decoded == sorted(decoded)
    transcribed = driver.out[-1].accounting.transcribed
    assert transcribed >= sum(word.end - word.start for word in speech.words) - 2 * FRAME * len(speech.words)
    if not driver.hypotheses:
        return
    before = driver.hypotheses[: 1 + int(where * (len(driver.hypotheses) - 1))]
    last = before[-1]
    moved = Driver(stream=open_stream(start=last.keep_from, resume=last.resume), period=period)
    moved.feed(speech.pcm[last.keep_from :], chunk=moved_chunk)
    moved.finish()
    check_whole(speech, *before, *moved.out)


def test_a_session_that_moves_soon_after_an_endpoint_goes_on_after_it():
    """Audio that is sent again holds committed words: they are not said twice, and no position goes back."""
    speech = say([1.5, "one", "two", 0.6, "three", "four", 1.0])
    driver = Driver()
    driver.feed(speech.pcm[: speech.words[2].start], chunk=512)
    last = driver.hypotheses[-1]
    assert not last.resume.speaking
    assert last.keep_from < speech.words[1].end
    moved = Driver(stream=open_stream(start=last.keep_from, resume=last.resume))
    moved.feed(speech.pcm[last.keep_from :], chunk=1600)
    moved.finish()
    check_whole(speech, *driver.hypotheses, *moved.out)

"""Books never call lost speech silence, and loud audio without a voice is named."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_worker.recognition.accounting.voice_check import VoiceCheck
from gpu_worker.recognizer import VAD_FRAME, VadRequest
from shared.clips import load_clips
from tests.gateway.exchange import Exchange
from tests.gateway.readers import read_values
from tests.gpu_worker.recognition.driver import Driver, open_stream
from tests.peers.hard_of_hearing import UNHEARD, HardOfHearing, Hiding, Looping, Voiceless
from tests.scripted_recognizer import ScriptedRecognizer, say

S = 16_000
COUGH = [UNHEARD] * 5
"""Two seconds in which a voice is heard, and no word."""


def exchange_with(model, workers=1) -> Exchange:
    """Return a gateway whose workers have this model."""
    exchange = Exchange(workers=workers).boot_all()
    for worker in exchange.workers.values():
        worker._model = model()
    return exchange


def talk(exchange, client, speech) -> dict:
    """Say a speech to its end; return the session's log line."""
    client.say(speech.pcm.tobytes())
    client.end()
    exchange.run(25)
    client.leave()
    (line,) = exchange.log.of("session_closed")
    return line


@pytest.mark.parametrize(
    ("model", "script", "cause"),
    [
        (HardOfHearing, ["one", "two", 1.5, *COUGH, 1.5, "three", 1.0], "no_words"),
        (Hiding, [0.5, "one", "two", "three", "four", 1.5], "hidden"),
        (Looping, [0.5, "one", *["two"] * 20, 1.5], "repetition"),
    ],
)
def test_unclear_speech_is_counted_apart_and_logged(model, script, cause):
    """Speech that brought no word is neither silence nor transcribed, in ready_to_stop, log line and metrics.

    It was "transcribed" if a decode's window held it, else "silence". Relatives: a decode without a word, a hypothesis
    that is hidden, a loop that is cut.
    """
    exchange, speech = exchange_with(model), say(script)
    client = exchange.client().join()
    line = talk(exchange, client, speech)
    assert line["outcome"] == "complete"
    assert line["unclear"] > 0.5 * S
    assert line["received"] == line["transcribed"] + line["silence"] + line["unclear"] == len(speech.pcm)
    (audio,) = read_values(client, "ready_to_stop", "audio")
    assert audio["unclear"] == line["unclear"] == exchange.statistics.samples["unclear"]
    told = exchange.log.of("unclear_speech")
    assert {entry["connection"] for entry in told} == {client.session.id}
    assert cause in {entry["cause"] for entry in told}
    assert abs(sum(entry["end_s"] - entry["start_s"] for entry in told) - line["unclear"] / S) < 0.01 * len(told)
    start_s, end_s = told[-1]["start_s"], told[-1]["end_s"]
    assert f"from {start_s:.1f} s to {end_s:.1f} s" in told[-1]["event"]


def test_unclear_speech_is_where_it_was():
    """Its positions are those of the cough, and not those of the words and pauses around it."""
    exchange, speech = exchange_with(HardOfHearing), say(["one", "two", 1.5, *COUGH, 1.5, "three", 1.0])
    line = talk(exchange, exchange.client().join(), speech)
    (told,) = exchange.log.of("unclear_speech")
    coughs = [word for word in speech.words if word.text == UNHEARD]
    assert abs(told["start_s"] - coughs[0].start / S) < 0.1
    assert abs(told["end_s"] - coughs[-1].end / S) < 0.1
    assert line["words"] == 3


def test_unclear_nothing_where_every_word_is_found():
    """Pauses between words and between sentences are not unclear."""
    exchange = exchange_with(ScriptedRecognizer)
    line = talk(exchange, exchange.client().join(), say(["one", 0.6, "two", 0.3, "three", 2.0, "four", 1.0]))
    assert (line["unclear"], exchange.log.of("unclear_speech")) == (0, [])


def test_unclear_speech_skipped_at_the_end():
    """Speech too short for a decode, after a `finalize`, is not silence (relatives: the end of the audio)."""
    driver = Driver()
    speech = say([0.5, "one", "two", "three"], between_s=0)
    driver.stream.finalize(len(speech.pcm) - 1_100)
    driver.feed(speech.pcm)
    driver.finish()
    stretches = [each for message in driver.hypotheses for each in message.unclear]
    total = driver.out[-1].accounting
    assert [each.cause for each in stretches] == ["not_decoded"]
    assert total.unclear == sum(each.end - each.start for each in stretches) > 0


def test_unclear_lines_of_one_session_are_bounded():
    """A session of coughs does not fill the log: ten lines a minute, and the next one says how many were left out."""
    exchange, speech = exchange_with(HardOfHearing), say([UNHEARD, 1.5] * 20)
    client = exchange.client().join()
    for _ in range(2):
        client.say(speech.pcm.tobytes())
        exchange.run(20)
        exchange.clock.now += 60
    told = exchange.log.of("unclear_speech")
    assert [entry["left_out"] for entry in told] == [0] * 10 + [10] + [0] * 9


scripts = st.lists(
    st.one_of(
        st.sampled_from(["one", "two", "sentence.", "river", UNHEARD, UNHEARD]),
        st.floats(0.1, 2.0, allow_nan=False).map(lambda seconds: round(seconds, 2)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(scripts, st.integers(200, 40_000), st.integers(4_000, 32_000), st.floats(0, 1))
def test_unclear_speech_is_told_once_wherever_the_session_moves(script, chunk, period, where):
    """By one worker or two, each sample counts once, and stretches are in order, within the audio, over no word."""
    speech = say(script)
    driver = Driver(model=HardOfHearing(), period=period)
    driver.feed(speech.pcm, chunk)
    driver.finish()
    check(driver.out, speech)
    if driver.hypotheses:
        before = driver.hypotheses[: 1 + int(where * (len(driver.hypotheses) - 1))]
        last = before[-1]
        moved = Driver(
            model=HardOfHearing(), stream=open_stream(start=last.keep_from, resume=last.resume), period=period
        )
        moved.feed(speech.pcm[last.keep_from :], chunk=chunk)
        moved.finish()
        check([*before, *moved.out], speech)


def check(messages, speech) -> None:
    """Assert that the unclear speech that was told is what the books have."""
    *hypotheses, finished = messages
    total = finished.accounting
    words = [word for message in hypotheses for word in message.words]
    unclear = [(each.start, each.end) for message in hypotheses for each in message.unclear]
    assert total.until == total.transcribed + total.silence + total.unclear == len(speech.pcm)
    assert total.unclear == sum(end - start for start, end in unclear)
    assert all(0 <= start < end <= len(speech.pcm) for start, end in unclear)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(unclear))
    assert not [word for word in words for start, end in unclear if word.start < end and start < word.end]
    if all(word.text == UNHEARD for word in speech.words):
        assert total.unclear >= sum(word.end - word.start for word in speech.words) - 2 * VAD_FRAME * len(speech.words)


# --- loud audio without a voice -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["events", "full"])
def test_unclear_garbage_is_told_once(mode):
    """Loud audio without a voice brings one hint and one log line, also if the session moves to another worker."""
    exchange = exchange_with(Voiceless, workers=2)
    client = exchange.client(mode).join()
    noise = say(["one"] * 60)
    for _ in range(2):
        client.say(noise.pcm.tobytes())
        exchange.run(12)
        exchange.workers[client.session.gpu_id].alive = False
        exchange.run(12)
    client.say(noise.pcm.tobytes())
    exchange.run(12)
    hinted = [each for each in map(json.loads, client.read()) if each.get("type") == "hint" or "hint" in each]
    assert [each.get("code") if mode == "events" else each["hint_code"] for each in hinted] == ["no_voice"]
    assert [entry["code"] for entry in exchange.log.of("client_hint")] == ["no_voice"]


def test_unclear_quiet_rooms_and_speech_are_no_garbage():
    """Neither an hour of a quiet room nor speech is told."""
    for model, speech in ((Voiceless, (say(["one"] * 80).pcm // 2000)), (ScriptedRecognizer, say(["one"] * 80).pcm)):
        exchange = exchange_with(model)
        client = exchange.client().join()
        client.say(speech.astype(np.int16).tobytes())
        exchange.run(20)
        assert exchange.log.of("client_hint") == []


def speech_of_clips(seconds) -> np.ndarray:
    """Return the clips' audio, one after the other."""
    return np.concatenate([np.frombuffer(clip.pcm(), "<i2") for clip in load_clips()])[: seconds * S]


def as_48_khz(pcm) -> np.ndarray:
    """Return audio as it is at 48 kHz."""
    return np.interp(np.arange(3 * len(pcm)) / 3, np.arange(len(pcm)), pcm).astype(np.int16)


GARBAGE = {
    "white noise": lambda pcm: (np.random.default_rng(1).standard_normal(len(pcm)) * 3000).astype(np.int16),
    "48 kHz": as_48_khz,
    "stereo at 48 kHz": lambda pcm: np.repeat(as_48_khz(pcm), 2),
    "big-endian": lambda pcm: pcm.byteswap(),
    "shifted by a byte": lambda pcm: np.frombuffer(b"\0" + pcm.tobytes() + b"\0", "<i2"),
    "float32": lambda pcm: np.frombuffer((pcm / 32768).astype("<f4").tobytes(), "<i2"),
    "hum": lambda pcm: (8000 * np.sin(np.arange(len(pcm)) / S * 100 * np.pi)).astype(np.int16),
}
PLAIN = {
    "speech": lambda pcm: pcm,
    "soft speech": lambda pcm: (pcm * 0.05).astype(np.int16),
    "a quiet room": lambda pcm: (np.random.default_rng(1).standard_normal(len(pcm)) * 60).astype(np.int16),
}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("audio", [*GARBAGE, *PLAIN])
def test_unclear_garbage_is_noticed_by_the_real_detector(model, audio):
    """Bytes in another format are noticed within 38 s; speech and quiet rooms are not.

    Relatives: other rates and channels, bytes swapped and shifted, float32, noise, hum.
    """
    pcm = (GARBAGE | PLAIN)[audio](speech_of_clips(38))[: 38 * S // VAD_FRAME * VAD_FRAME]
    pcm = pcm[: len(pcm) // VAD_FRAME * VAD_FRAME]
    check = VoiceCheck(0.35)
    model.open(1)
    for first in range(0, len(pcm), 64 * VAD_FRAME):
        part = pcm[first : first + 64 * VAD_FRAME]
        (result,) = model.detect_speech([VadRequest(1, part)])
        check.update(part, result.probabilities)
    model.close(1)
    assert check.no_voice == (audio in GARBAGE)

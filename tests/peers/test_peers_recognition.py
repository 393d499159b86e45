"""What users of other live transcription servers suffer from in recognition itself: what ``tiny.en`` and our policy do."""

import gc
from dataclasses import replace

import numpy as np
import psutil
import pytest

from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.recognition.step import DecodeCall, Step
from gpu_worker.recognizer import VAD_FRAME, TimedWord, VadRequest, VadResult, WindowResult
from shared.clips import load_clips
from shared.messages import Finished
from tests.gpu_worker.model.speech.conftest import text_of, window, word_errors
from tests.gpu_worker.recognition.driver import Driver, open_stream
from tests.scripted_recognizer import ScriptedRecognizer, say

pytestmark = pytest.mark.timeout(300)

RATE = 16_000
MB = 2**20


def samples(clip):
    """Return a clip's audio."""
    return np.frombuffer(clip.pcm(), dtype="<i2")


def spoken(clip):
    """Return a clip's audio from its first sound to its last."""
    pcm = samples(clip)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 1000)
    return pcm[loud[0] : loud[-1]]


def in_one_breath(clips):
    """Return the clips' audio one after the other, with no pause of more than 0.15 s left in it."""
    frames = np.concatenate([spoken(clip) for clip in clips])
    frames = frames[: len(frames) // 320 * 320].reshape(-1, 320)
    quiet, kept = 0, []
    for frame in frames:
        quiet = quiet + 1 if np.abs(frame.astype(np.int32)).max() < 600 else 0
        if quiet <= 7:
            kept.append(frame)
    return np.concatenate(kept)


@pytest.fixture
def driver(model):
    """Give a stream on the real model."""
    model.open(1)
    yield Driver(model=model)
    model.close(1)


def noise():
    """Return loud white noise."""
    return (np.random.default_rng(3).standard_normal(5 * RATE) * 3000).astype(np.int16)


def music():
    """Return a broken chord with overtones, each note struck and fading."""
    at = np.arange(5 * RATE) / RATE
    since = at % 0.5
    notes = np.array([261.6, 329.6, 392.0, 523.3])[(at // 0.5).astype(int) % 4]
    tone = sum(np.sin(2 * np.pi * notes * part * since) / part for part in range(1, 6))
    return (4000 * tone * np.exp(-4 * since)).astype(np.int16)


SOUNDS = {"silence": np.zeros(5 * RATE, np.int16), "noise": noise(), "music": music()}


@pytest.mark.parametrize("sound", SOUNDS)
def test_06_nothing_is_invented(driver, sound):
    """In silence, in noise and in music there is no text, and the lag does not grow."""
    pcm = SOUNDS[sound]
    for first in range(0, len(pcm), RATE // 2):
        driver.stream.receive(first, pcm[first : first + RATE // 2].tobytes())
        driver.settle()
        assert driver.stream.lag() < RATE
    driver.finish()
    assert driver.text == ""
    assert all(message.tail == "" for message in driver.hypotheses)


class OpenEars:
    """A model whose voice activity detection takes everything for speech."""

    def __init__(self, model):
        self._model = model
        self.windows = 0

    def detect_speech(self, requests):
        """Hear speech in every frame."""
        return [VadResult((0.9,) * (len(request.pcm) // VAD_FRAME)) for request in requests]

    def transcribe(self, requests):
        """Ask the model."""
        self.windows += len(requests)
        return self._model.transcribe(requests)


@pytest.mark.parametrize("sound", SOUNDS)
def test_06_nothing_is_invented_past_the_gate(driver, model, sound):
    """Sound that is wrongly taken for speech is decoded, and still no word of it is shown."""
    driver.model = OpenEars(model)
    driver.feed(SOUNDS[sound], chunk=RATE)
    driver.finish()
    assert driver.model.windows > 1
    assert [driver.text, *(message.tail for message in driver.hypotheses if message.tail)] == [""]


class Rut(ScriptedRecognizer):
    """Hears words, but the decoder has begun to repeat itself; remembers the prompts it was given."""

    def __init__(self):
        super().__init__()
        self.prompts = []

    def transcribe(self, requests):
        """Say that a loop was cut."""
        self.prompts += [request.prompt for request in requests]
        return [replace(result, looped=True) for result in super().transcribe(requests)]


def test_06_a_loop_is_never_confirmed():
    """A decoder in a rut says the same thing twice, which agreement alone would confirm: it is not, nor is it a prompt."""
    speech = say(["one", "two", "three", "four", "five", "six", "seven", "eight"])
    for model, confirms in ((ScriptedRecognizer(), True), (Rut(), False)):
        driver = Driver(model=model)
        driver.feed(speech.pcm)
        assert bool(driver.words) is confirms
    assert len(model.prompts) > 3
    assert set(model.prompts) == {()}


def private_bytes():
    """Return this process's private memory."""
    gc.collect()
    return psutil.Process().memory_full_info().uss


def test_09_memory_of_the_model_does_not_grow(model):
    """Sessions come and go without a rise in memory, and unloading returns all that loading took, every time."""
    pcm = samples(load_clips()[0])[: 3 * RATE]

    def sessions(keys):
        for key in keys:
            model.open(key)
            model.detect_speech([VadRequest(key, pcm[: 512 * 90])])
            assert text_of(model.transcribe([window(pcm, key=key)])[0])
            model.close(key)

    sessions(range(10, 12))
    before = private_bytes()
    sessions(range(12, 16))
    assert private_bytes() - before < 12 * MB
    bare = []
    for key in (30, 31):
        model.load()
        sessions([key])
        held = private_bytes()
        model.unload()
        bare.append(private_bytes())
        assert held - bare[-1] > 60 * MB
    model.load()
    assert bare[1] - bare[0] < 12 * MB


def test_13_neighbours_hear_nothing_of_each_other(model):
    """Two sessions in the same steps of one model, speaking at once, each get their own words and none of the other's."""
    clips = load_clips()[:2]
    drivers = []
    for key, clip in enumerate(clips, 1):
        stream = open_stream()
        stream.key = key
        model.open(key)
        stream.receive(0, clip.pcm())
        stream.finish(stream.received)
        drivers.append(Driver(stream=stream, model=model))
    shared_steps = 0
    while not all(isinstance(driver.out[-1:][0] if driver.out else None, Finished) for driver in drivers):
        step = Step(lambda: [driver.stream for driver in drivers], period=RATE // 2)
        while call := step.next_call():
            shared_steps += isinstance(call, DecodeCall) and len(call.requests) == 2
            for key, answer in zip(call.keys, call.run(model), strict=True):
                step.deliver(key, answer)
        for driver in drivers:
            driver.out += driver.stream.take()
    assert shared_steps > 0
    for key, (driver, clip) in enumerate(zip(drivers, clips, strict=True), 1):
        errors, words = word_errors(clip.text, driver.text)
        assert errors <= 0.15 * words, driver.text
        model.close(key)


def test_15_nothing_is_skipped_past_thirty_seconds(driver, model):
    """Over half a minute of speech in one breath, there all at once, is heard to the end in windows that Whisper can take."""
    clips = load_clips()
    pcm = in_one_breath(clips)
    assert len(pcm) > 31 * RATE
    driver.stream.receive(0, pcm.tobytes())
    driver.finish()
    errors, words = word_errors(" ".join(clip.text for clip in clips), driver.text)
    assert errors <= 0.15 * words, driver.text
    (finished,) = [message for message in driver.out if isinstance(message, Finished)]
    assert finished.accounting.until == len(pcm)
    assert finished.accounting.transcribed > 0.9 * len(pcm)


class Speller(ScriptedRecognizer):
    """Says one sentence in a multilingual model's tokens, evenly in time, as far as the window goes."""

    TOKEN_SAMPLES = 3200

    def __init__(self, sentence, language):
        super().__init__()
        self._tokens = Tokens(51865)
        self._said = self._tokens._base.encode(sentence)
        self._language = language

    @property
    def pcm(self):
        """Return audio as long as the sentence."""
        return np.full(len(self._said) * self.TOKEN_SAMPLES, 1000, np.int16)

    def transcribe(self, requests):
        """Say the sentence up to the windows' ends, with characters cut where a token does."""
        return [self._spell(request) for request in requests]

    def _spell(self, request):
        assert request.start == 0
        count = (len(request.pcm) - request.context) // self.TOKEN_SAMPLES
        known = len(request.committed)
        tokens = self._said[:count]
        assert tuple(tokens[:known]) == request.committed
        words, first = [], 0
        for text, length in self._tokens.words(tokens, self._language):
            last = first + length
            fresh = self._tokens.text(tokens[max(first, known) : last])
            words.append(TimedWord(text, fresh, first, last, first * self.TOKEN_SAMPLES, last * self.TOKEN_SAMPLES))
            first = last
        return WindowResult(
            tokens=tuple(tokens[known:]),
            logprobs=(-0.1,) * (count - known),
            words=tuple(words),
            end=count * self.TOKEN_SAMPLES,
            no_speech=0.0,
            looped=False,
            language=self._language,
            accepted=0,
        )


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("zh", "龘靐齉爩籲鱻"), ("ja", "鷽と鸚鵡の囀り。"), ("ko", "뷁쀍뙗 똠방각하 쒰."), ("en", " An 🦉 and a 🦔 met.")],
)
def test_16_cut_characters(language, sentence):
    """Where a step ends within the bytes of a character nothing fails, no half character is shown, and the whole one comes."""
    model = Speller(sentence, language)
    driver = Driver(stream=open_stream(language=language), model=model, period=1600)
    driver.feed(model.pcm, chunk=1600)
    driver.finish()
    assert driver.text == sentence
    committed, tails = "", set()
    for message in driver.hypotheses:
        committed += "".join(word.text for word in message.words)
        assert sentence.startswith(committed + message.tail)
        tails.add(message.tail)
    assert len(tails) > 3


@pytest.mark.parametrize("number", [0, 1, 4])
def test_17_the_first_sound_is_in_the_window(driver, model, number):
    """Speech that begins at once after a second of silence is heard from before its first sound, its first word whole."""
    clip = load_clips()[number]
    driver.stream.receive(0, np.concatenate([np.zeros(RATE, np.int16), spoken(clip)[: 3 * RATE]]).tobytes())
    driver.stream.finish(driver.stream.received)
    while request := driver.stream.vad_request():
        driver.stream.on_vad(model.detect_speech([request])[0])
    request = driver.stream.window_request(RATE // 2)
    assert RATE // 2 < request.start < RATE
    driver.stream.on_decode(model.transcribe([request])[0])
    driver.settle()
    first, heard = (text.lower().split()[0].strip(",.") for text in (clip.text, driver.text))
    assert first == heard

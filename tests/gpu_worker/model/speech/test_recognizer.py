import dataclasses
import gc

import numpy as np
import psutil
import pytest
import torch

from gpu_worker.model import default_model, load_recognizer
from gpu_worker.model.checkpoint.locate import default_cache_dir
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import EXACT, Precision
from gpu_worker.model.repetition import repetition
from gpu_worker.model.step import DecodeSettings
from gpu_worker.recognizer import FRAME, VAD_FRAME, TimedWord, VadRequest, WindowResult
from shared.errors import ModelUnavailableError
from tests.gpu_worker.model.speech.conftest import growing, recognizer, text_of, window, word_errors


def test_clips_are_transcribed(quick, clips):
    """As a worker computes it, the shipped recordings have under 8 % wrong words, and no window needs a second try."""
    results = quick.transcribe([window(clip.pcm) for clip in clips])
    counts = [word_errors(clip.text, text_of(result)) for clip, result in zip(clips, results, strict=True)]
    assert sum(errors for errors, _ in counts) <= 0.08 * sum(words for _, words in counts)
    assert not any(result.looped for result in results)
    assert quick.fallbacks == 0


def test_compacted_text_is_that_of_full_context(exact, weights, clips):
    """Compacting the silence changes at most one word in thirty against whisper's whole 30 s."""
    whole = recognizer(weights, EXACT, encoder=EncoderSettings(tail=1500))
    requests = [window(clip.pcm) for clip in clips[:4]]
    pairs = zip(whole.transcribe(requests), exact.transcribe(requests), strict=True)
    counts = [word_errors(text_of(theirs), text_of(ours)) for theirs, ours in pairs]
    assert sum(errors for errors, _ in counts) <= sum(words for _, words in counts) / 30


def test_words_have_the_times_that_were_measured(quick, clips):
    """Word ends lie within 0.35 s of the recordings' own at the median of each clip, from the window's start on."""
    start = 100 * FRAME
    for clip in clips:
        [result] = quick.transcribe([window(clip.pcm, start=start)])
        ends_s = [(word.end - start) / 16_000 for word in result.words if word.text.strip(" .,;:-")]
        nearest = [min(abs(end - known) for known in clip.word_ends_s) for end in ends_s]
        assert np.median(nearest) < 0.35
        assert abs(ends_s[-1] - clip.word_ends_s[-1]) < 0.5


def test_words_follow_one_another_inside_the_window(quick, clips):
    """Words cover the tokens in order, never overlap, and lie between the window's start and its end."""
    start = 7 * FRAME
    for result in quick.transcribe([window(clip.pcm[: 16_000 * 4], start=start) for clip in clips]):
        assert result.end <= start + 16_000 * 4
        assert (result.end - start) % FRAME == 0
        at, position = 0, start
        for word in result.words:
            assert word.first == at
            assert position <= word.start <= word.end <= result.end
            at, position = word.last, word.end
        assert at == len(result.tokens) == len(result.logprobs)
        assert all(logprob <= 1e-4 for logprob in result.logprobs)


def test_committed_tokens_are_in_the_words_but_not_in_the_tokens(quick, clips):
    """A forced beginning is timed with the rest; new tokens are only those after it."""
    [whole] = quick.transcribe([window(clips[0].pcm)])
    committed, rest = whole.tokens[:4], whole.tokens[4:]
    [result] = quick.transcribe([window(clips[0].pcm, committed=committed, draft=rest)])
    assert result.tokens == rest
    assert result.accepted == len(rest)
    assert text_of(result) == text_of(whole)
    assert [word.fresh for word in result.words if word.last <= 4] == [""] * sum(w.last <= 4 for w in result.words)


def test_one_bad_request_fails_alone(exact, clips):
    """Requests that are wrong in six ways get their own errors; those between them are as if alone."""
    good = [window(clip.pcm) for clip in clips[:2]]
    alone = exact.transcribe(good)
    bad = [
        window(clips[0].pcm, language="fr"),
        window(clips[0].pcm, task="translate"),
        window(clips[0].pcm, start=5),
        window(clips[0].pcm, context=10**9),
        window(clips[0].pcm, committed=(10**7,)),
        window(np.zeros(16_000 * 31, dtype=np.int16)),
    ]
    answers = exact.transcribe([bad[0], good[0], *bad[1:4], good[1], *bad[4:]])
    assert [isinstance(answer, Exception) for answer in answers] == [True, False, True, True, True, False, True, True]
    for answer, one in zip([answers[1], answers[5]], alone, strict=True):
        assert (answer.tokens, answer.words, answer.end) == (one.tokens, one.words, one.end)


def test_numbers_that_are_none_fail_alone(weights, clips):
    """A window whose values overflow is answered with an error; its neighbour in the step is not touched."""
    made = recognizer(weights, EXACT)
    spectrum = made._step._network.spectrum
    raw = spectrum.raw

    def poisoned(pcm, context):
        mel = raw(pcm, context)
        return mel * float("nan") if len(pcm) == 16_000 else mel

    spectrum.raw = poisoned
    broken, fine = made.transcribe([window(clips[0].pcm[:16_000]), window(clips[1].pcm)])
    assert isinstance(broken, ArithmeticError)
    assert text_of(fine) == text_of(made.transcribe([window(clips[1].pcm)])[0])


def test_windows_of_one_step_do_not_change_each_other(exact, clips):
    """Windows of one step answer what each answers alone, words and times included."""
    requests = [window(clip.pcm[: 16_000 * (2 + i)]) for i, clip in enumerate(clips)]
    alone = [exact.transcribe([request])[0] for request in requests]
    for together, one in zip(exact.transcribe(requests), alone, strict=True):
        same = {"logprobs": (), "no_speech": 0.0}
        assert dataclasses.replace(together, **same) == dataclasses.replace(one, **same)
        assert together.no_speech == pytest.approx(one.no_speech, abs=1e-4)
        assert together.logprobs == pytest.approx(one.logprobs, abs=1e-3)


def test_too_short_a_window_says_nothing(quick):
    """A window without a whole frame has no words."""
    [result] = quick.transcribe([window(np.zeros(100, dtype=np.int16), start=640)])
    assert result == WindowResult((), (), (), 640, 1.0, looped=False, language="en", accepted=0)


def test_silence_is_known_as_no_speech(quick, clips):
    """The probability of no speech is high on silence and low on speech."""
    silent, spoken = quick.transcribe([window(np.zeros(32_000, dtype=np.int16)), window(clips[0].pcm)])
    assert silent.no_speech > 0.3 > spoken.no_speech


def test_a_loop_is_tried_again_with_full_context_and_counted(weights, clips):
    """Where compacted audio confuses the decoder it loops; the guard detects it, and the window is encoded again with the whole 30 s."""
    made = recognizer(weights, EXACT)
    encoder = made._step._network.encoder
    encode_on = encoder.encode_on

    def confused(*args, **options):
        encoding, kept = encode_on(*args, **options)
        return dataclasses.replace(encoding, values=encoding.values.flip(2)), kept

    encoder.encode_on = confused
    saved = 0
    for clip in clips:
        before = made.fallbacks
        [result] = made.transcribe([window(clip.pcm)])
        if made.fallbacks > before:
            saved += 1
            assert not result.looped
            assert word_errors(clip.text, text_of(result))[0] <= 2
    assert saved == made.fallbacks > 0


def test_a_loop_that_stays_is_cut_to_one_copy(exact, clips):
    """Text forced into a rut goes on in it whatever the context; one copy is left, and the result says so."""
    before = exact.fallbacks
    rut = tuple(exact._step._network.tokens._base.encode(" and on")) * 8
    [result] = exact.transcribe([window(np.zeros(48_000, dtype=np.int16), committed=rut)])
    assert exact.fallbacks == before + 1
    assert result.looped
    assert 0 < len(result.tokens) <= 16
    assert repetition(result.tokens) == 0
    assert len(result.logprobs) == len(result.tokens)
    assert result.words[-1].last == len(rut) + len(result.tokens)


def test_a_limit_that_is_met_is_tried_again_and_counted(weights, clips):
    """Text that would not end within the bound for its length is implausible, and the fallback is counted."""
    made = recognizer(weights, EXACT, decode=DecodeSettings(least_tokens=2, spare_tokens=0, tokens_per_s=1))
    [result] = made.transcribe([window(clips[0].pcm[: 16_000 * 3])])
    assert made.fallbacks == 1
    assert 0 < len(result.tokens) <= 3


def test_reused_frames_give_the_same_words(weights, clips):
    """With frames reused from step to step, live sessions side by side end in the words of the whole recordings."""
    made = recognizer(weights, EXACT)
    plain = made.transcribe([window(clip.pcm, key=100 + i) for i, clip in enumerate(clips[:3])])
    for key in range(3):
        made.open(key)
    live = [growing(clip.pcm, 1.0) for clip in clips[:3]]
    drafts = [(), (), ()]
    for step in range(max(map(len, live))):
        requests = [
            window(pcms[min(step, len(pcms) - 1)], key=key, draft=drafts[key], reuse=True)
            for key, pcms in enumerate(live)
        ]
        results = made.transcribe(requests)
        drafts = [result.tokens for result in results]
    for result, whole in zip(results, plain, strict=True):
        errors, words = word_errors(text_of(whole), text_of(result))
        assert errors <= words / 8
    for key in range(3):
        made.close(key)
    assert made._step._caches == {}


def test_two_windows_of_one_stream_in_one_step_are_apart(weights, clips):
    """A stream asked about twice in a step gets both answers, though it keeps frames for only one."""
    made = recognizer(weights, EXACT)
    made.open(1)
    requests = [window(clips[0].pcm[:32_000], key=1, reuse=True), window(clips[1].pcm, key=1, reuse=True)]
    for _ in range(2):
        first, second = made.transcribe(requests)
        assert word_errors(clips[1].text, text_of(second))[0] <= 1
        assert text_of(first) == text_of(made.transcribe([window(clips[0].pcm[:32_000])])[0])


def test_half_precision_throughout_says_the_same(weights, clips):
    """In the number types of a GPU the clips are transcribed as well."""
    made = recognizer(weights, Precision("bf16", "bf16", "bf16"))
    results = made.transcribe([window(clip.pcm) for clip in clips[:3]])
    for clip, result in zip(clips, results, strict=False):
        assert word_errors(clip.text, text_of(result))[0] <= 2


def test_languages_and_tasks_are_chosen_for_each_window(random_weights, clips):
    """A multilingual step takes a language, a task and a prompt per window, and detects where there is none."""
    _, weights = random_weights()
    made = recognizer(weights, EXACT)
    requests = [
        window(clips[0].pcm, language="de"),
        window(clips[0].pcm, language=None),
        window(clips[0].pcm, language="fr", task="translate"),
        window(clips[0].pcm, language="fr", prompt=tuple(range(400, 900))),
        window(clips[0].pcm, language="tlh"),
    ]
    answers = made.transcribe(requests)
    assert [a.language for a in answers[:4]] == [
        "de",
        made._step._network.detect(_encoding(made, clips[0].pcm))[0],
        "fr",
        "fr",
    ]
    assert isinstance(answers[4], ValueError)
    for request, answer in zip(requests[:4], answers[:4], strict=True):
        assert made.transcribe([request])[0].tokens == answer.tokens
    assert len(made.info.languages) == 100


@torch.inference_mode()
def _encoding(made, pcm):
    network = made._step._network
    return network.encoder.encode([network.spectrum.raw(pcm, 0)])


def test_speech_detection_keeps_each_stream_apart(quick, clips):
    """Speech is detected in each stream's pieces; a wrong request fails alone and changes no state."""
    pcm = clips[0].pcm[: 60 * VAD_FRAME]
    for key in (1, 2, 3):
        quick.open(key)
    [whole] = quick.detect_speech([VadRequest(1, pcm)])
    first, wrong, unknown, empty = quick.detect_speech(
        [VadRequest(2, pcm[: 20 * VAD_FRAME]), VadRequest(3, pcm[:100]), VadRequest(77, pcm), VadRequest(3, pcm[:0])]
    )
    second, other = quick.detect_speech([VadRequest(2, pcm[20 * VAD_FRAME :]), VadRequest(3, pcm)])
    assert isinstance(wrong, ValueError)
    assert isinstance(unknown, KeyError)
    assert empty.probabilities == ()
    assert first.probabilities + second.probabilities == pytest.approx(whole.probabilities, abs=1e-5)
    assert other.probabilities == pytest.approx(whole.probabilities, abs=1e-5)
    for key in (1, 2, 3, 3):
        quick.close(key)
    assert isinstance(quick.detect_speech([VadRequest(2, pcm)])[0], KeyError)


def test_unloading_gives_memory_back_and_loading_brings_it_again(clips):
    """Private memory rises by tens of megabytes with a load and falls by them with an unload; the words are the same."""
    made = load_recognizer("tiny.en", cache_dir=default_cache_dir(), device="cpu", threads=1)
    made.load()  # once before measuring: what torch keeps for itself, it keeps
    [before] = made.transcribe([window(clips[0].pcm)])
    made.unload()
    with pytest.raises(RuntimeError, match="not loaded"):
        made.transcribe([window(clips[0].pcm)])
    empty = _private_bytes()
    made.load()
    made.load()
    [after] = made.transcribe([window(clips[0].pcm)])
    loaded = _private_bytes()
    made.unload()
    assert loaded - empty > 60 * 2**20
    assert loaded - _private_bytes() > 60 * 2**20
    assert text_of(after) == text_of(before)


def _private_bytes():
    gc.collect()
    return psutil.Process().memory_full_info().uss


def test_the_default_model_suits_the_device():
    """A CPU gets the smallest English model, a GPU the best that runs live."""
    assert default_model("cpu") == "tiny.en"
    assert default_model("cuda:0") == "large-v3-turbo"


def test_a_model_that_cannot_be_had_is_named(tmp_path):
    """Loading an unknown model raises the error that the worker exits 3 on."""
    with pytest.raises(ModelUnavailableError, match="nonesuch"):
        load_recognizer("nonesuch", cache_dir=tmp_path, device="cpu", threads=1)


def test_the_empty_name_is_the_default(clips):
    """Without a name the CPU's default model is loaded, and says so."""
    made = load_recognizer("", cache_dir=default_cache_dir(), device="cpu", threads=1)
    assert (made.info.name, made.info.languages, made.info.device) == ("tiny.en", ("en",), "cpu")
    assert made.info.device_name


def test_cut_characters_are_words_too(random_weights, clips):
    """A model that says any bytes at all, as a random one does, raises nothing and loses no token."""
    _, weights = random_weights(n_text_layer=1)
    made = recognizer(weights, EXACT)
    owl = made._step._network.tokens._base.encode(" 🦉")
    [result] = made.transcribe([window(clips[0].pcm, language="ja", committed=tuple(owl[:-1]))])
    assert isinstance(result.words[0], TimedWord)
    assert result.words[-1].last == len(owl) - 1 + len(result.tokens)

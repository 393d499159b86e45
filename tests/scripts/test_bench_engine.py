"""scripts/bench_engine: real weights on shipped clips, made-up ones for a capacity, and what it says where it cannot."""

import json
import wave

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gpu_worker.model.nn.linear import EXACT
from gpu_worker.model.recognizer import WhisperRecognizer
from scripts.bench.cli import command
from scripts.bench.languages import translated
from scripts.bench.samples import Sample
from scripts.capacity import capacity
from scripts.capacity.synthetic_weights import SyntheticModel, dimensions, length_for, noise
from scripts.capacity.windows import WindowShape
from shared.clips import load_clips

SHAPES = [
    WindowShape(32_000, 0, 0, 0, 5),
    WindowShape(64_000, 4, 5, 3, 7),
    WindowShape(112_000, 12, 6, 6, 6),
    WindowShape(112_000, 9, 6, 0, 8),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The machine is shared."""
    torch.set_num_threads(1)


def bench(*arguments):
    """Run the command in this process."""
    return CliRunner().invoke(command, [str(each) for each in arguments], standalone_mode=False)


def test_the_baselines_are_measured_beside_ours(tmp_path):
    """On a shipped clip all of them hear nearly every word, ours for a fraction of the plain one's compute."""
    out = tmp_path / "out.json"
    done = bench("--seconds", "4", "--cadences", "1,2", "--json", out)
    assert done.exception is None, done.output
    found = json.loads(out.read_text())["comparison"]
    assert [each["name"] for each in found] == ["ours, 1 s", "ours, 2 s", "plain, 1 s", "offline"]
    ours, slow, plain, offline = found
    assert all(each["wer_percent"] < 20 for each in found)
    assert ours["ratio"] > 3
    assert slow["decodes"] < ours["decodes"]
    assert plain["ratio"] == 1.0
    assert ours["shown_p50_s"] <= ours["committed_p50_s"] < 3
    assert ours["stages_percent"]["encoder"] + ours["stages_percent"]["decoder"] > 20
    assert sum(ours["stages_percent"].values()) == pytest.approx(100.0)
    assert plain["stages_percent"]["encoder"] > 30
    assert offline["cpu_per_audio_s"] > 0
    assert "times cheaper than plain" in done.output


def test_a_language_is_measured_given_and_detected(tmp_path):
    """Each clip of it is a session beside its offline reference; words that are not timed are placed by the model."""
    clip = min(load_clips(), key=lambda each: len(each.pcm()))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(clip.pcm())
    manifest, out = tmp_path / "m.jsonl", tmp_path / "out.json"
    manifest.write_text(json.dumps({"id": "a", "audio": "a.wav", "text": clip.text, "lang": "en"}))
    done = bench("--manifest", manifest, "--languages", "en", "--cadences", "1", "--json", out)
    assert done.exception is None, done.output
    answers = json.loads(out.read_text())["languages"]
    assert [each["way"] for each in answers] == [
        f"language {known}, {how}" for how in ("1 s", "offline") for known in ("given", "detected")
    ]
    for answer in answers:
        [figures], [session] = answer["figures"], answer["sessions"]
        assert (figures["name"], figures["languages_right"]) == ("en", [1, 1])
        assert figures["wer_percent"] < 20
        assert (session["clips"], session["spoken"], session["taken_for"]) == (["a"], "en", "en")
    [ours], [offline] = answers[0]["figures"], answers[2]["figures"]
    assert 0 < ours["shown_p50_s"] <= ours["committed_p50_s"] < 3
    assert (offline["shown_p50_s"], offline["changed_percent"], offline["decodes"]) == (None, None, None)
    assert "1 of 1" in done.output


def test_a_translation_is_held_against_another():
    """What a sample says becomes the translation, and no word of it has a time."""
    sample = Sample(("r",), np.zeros(3, np.int16), np.zeros(3, np.float32), ("eins",), (("eins", 0.1),))
    said = translated(sample, "one")
    assert (said.texts, said.words) == (("one",), ())
    assert said.pcm is sample.pcm


def test_recordings_are_replayed(tmp_path):
    """Files of which nothing is known are heard alone: their words with times, the table, and everything as JSON."""
    clip = min(load_clips(), key=lambda each: len(each.pcm()))
    out = tmp_path / "out.json"
    done = bench("--replay", clip.path, "--words", "--json", out)
    assert done.exception is None, done.output
    found = json.loads(out.read_text())
    [figures], [recording] = found["comparison"], found["recordings"]
    assert recording["clips"] == [clip.path.name]
    assert recording["accounting"]["until"] == len(clip.pcm()) // 2
    assert (figures["wer_percent"], figures["shown_p50_s"]) == (None, None)
    assert figures["heard"] == len(clip.text.split())
    assert 0 < figures["window_s"] <= figures["longest_s"] <= figures["audio_s"]
    assert 0 < figures["held_s"] <= figures["audio_s"]
    lines = done.output.splitlines()
    assert f"{clip.path.name} ({figures['audio_s']:.1f} s): {recording['text']}" in lines
    assert lines[1].split()[3] == recording["text"].split()[0]
    assert "CPU-s a second of audio" in done.output
    printed = bench("--replay", clip.path, "--json", "-")
    assert json.loads(printed.stdout)["recordings"] == found["recordings"]


def test_a_capacity_is_found_with_made_up_weights(tmp_path, monkeypatch):
    """The path that a GPU takes runs on a CPU: steps by stage, and a number of streams."""
    out = tmp_path / "out.json"
    monkeypatch.setattr(capacity, "measured_windows", lambda: {0.5: SHAPES})
    done = bench("--random-weights", "--model", "tiny", "--device", "cpu", "--batches", "1,2", "--json", out)
    assert done.exception is None, done.output
    found = json.loads(out.read_text())
    assert [each["windows"] for each in found["steps"]] == [1, 2]
    assert all(each["stages_ms"]["encoder"] > each["stages_ms"]["mel"] > 0 for each in found["steps"])
    assert found["steps"][1]["step_ms"] > found["steps"][0]["step_ms"] * 0.8
    assert found["carried"] is None or found["carried"]["lag_p95_s"] < 1.5 <= found["beyond"]["lag_p95_s"]
    assert "a window, ms" in done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so():
    """Asked for CUDA where there is none it says that nothing was measured, and ends with 3 before making any weights."""
    done = bench("--random-weights", "--device", "cuda", "--model", "large-v3-turbo")
    assert done.return_value == 3
    assert "No CUDA device is at hand" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--set", "x"], None, "--manifest and --set go together"),
        (["--languages", "de"], None, "--languages needs a --manifest"),
        (["--cadences", ""], None, "'' is not a valid float range"),
        (["--cadences", "1,fast"], None, "'fast' is not a valid float range"),
        (["--model", "nonesuch"], 3, "nonesuch"),
        (["--random-weights", "--model", "vast"], 2, "no official model"),
        (["--random-weights", "--model", "tiny", "--batches", "0"], None, "0 is not in the range x>=1"),
        ([__file__], None, "FILES are for --replay"),
        (["--replay", __file__], 2, "test_bench_engine.py"),
        (["--device", "cuda"], 2, "--random-weights"),
    ],
)
def test_wrong_usage_is_named(arguments, code, text):
    """What cannot be is said in a sentence."""
    done = bench(*arguments)
    if code is None:
        assert text in str(done.exception.format_message())
    else:
        assert done.return_value == code
        assert text in done.stderr


@pytest.mark.parametrize(
    ("name", "width", "layers", "vocabulary", "mels"),
    [
        ("tiny.en", 384, (4, 4), 51864, 80),
        ("base", 512, (6, 6), 51865, 80),
        ("small.en", 768, (12, 12), 51864, 80),
        ("medium", 1024, (24, 24), 51865, 80),
        ("large-v1", 1280, (32, 32), 51865, 80),
        ("large-v3", 1280, (32, 32), 51866, 128),
        ("large-v3-turbo", 1280, (32, 4), 51866, 128),
        ("turbo", 1280, (32, 4), 51866, 128),
    ],
)
def test_official_sizes_are_known(name, width, layers, vocabulary, mels):
    """Dimensions are those of the published checkpoints."""
    dims = dimensions(name)
    assert (dims.n_audio_state, dims.n_text_state) == (width, width)
    assert (dims.n_audio_layer, dims.n_text_layer) == layers
    assert (dims.n_vocab, dims.n_mels) == (vocabulary, mels)
    assert dims.n_audio_state // dims.n_audio_head == 64


@pytest.fixture(scope="module")
def synthetic():
    """Make up weights of tiny's size, loaded in fp32."""
    model = SyntheticModel("tiny", length_for(SHAPES))
    recognizer = WhisperRecognizer(
        model.weights, precision=EXACT, device=torch.device("cpu"), device_name="cpu", decode=model.settings
    )
    recognizer.load()
    return model, recognizer


def test_made_up_weights_take_the_tokens_they_are_meant_to(synthetic):
    """Each window accepts as many drafted tokens and finds as many new ones as its shape says, in company as well."""
    model, recognizer = synthetic
    audio = noise(10.0)
    for batch in ([each] for each in SHAPES), [SHAPES * 2]:
        for chosen in batch:
            requests = [model.request(key, each, audio) for key, each in enumerate(chosen)]
            results = recognizer.transcribe(requests)
            for wanted, asked, result in zip(chosen, requests, results, strict=True):
                got = WindowShape.of(asked, result)
                assert (got.samples, got.drafted) == (wanted.samples, wanted.drafted)
                assert (got.accepted, got.found) == (wanted.accepted, wanted.found)
    assert recognizer.fallbacks == 0

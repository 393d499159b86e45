"""Real weights and real speech for the tests of the network; a tiny random one where the shape is what counts."""

import dataclasses
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import ModelDimensions, Whisper

import shared
from gpu_worker.model.checkpoint import verify
from gpu_worker.model.checkpoint.locate import default_cache_dir, load_checkpoint, locate
from gpu_worker.model.nn.linear import EXACT, cpu_precision
from gpu_worker.model.recognizer import Weights, WhisperRecognizer
from gpu_worker.recognizer import FRAME, WindowRequest
from scripts.tools.scoring import normaliser, respelled

CLIPS = Path(shared.__file__).parent / "clips"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """The machine is shared, and a worker on the CPU has one thread."""
    torch.set_num_threads(1)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A recording, what it says, and at which second each word ends."""

    pcm: np.ndarray
    text: str
    word_ends_s: tuple[float, ...]


@pytest.fixture(scope="session")
def clips():
    """The shipped recordings, each with a little silence behind it."""
    found = []
    for entry in json.loads((CLIPS / "manifest.json").read_text()):
        with wave.open(str(CLIPS / entry["file"])) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        silence = np.zeros(4800, dtype=np.int16)
        found.append(Clip(np.concatenate([pcm, silence]), entry["text"], tuple(end for _, end in entry["words"])))
    return found


@pytest.fixture(scope="session")
def weights():
    """tiny.en, from the cache or fetched."""
    file = locate("tiny.en", cache_dir=default_cache_dir())
    return Weights("tiny.en", "tiny.en", file, *load_checkpoint(file))


def recognizer(weights, precision, **settings):
    """Return a loaded recognizer on the CPU."""
    made = WhisperRecognizer(weights, precision=precision, device=CPU, device_name="test", **settings)
    made.load()
    return made


@pytest.fixture(scope="session")
def exact(weights):
    """tiny.en, all in fp32."""
    return recognizer(weights, EXACT)


@pytest.fixture(scope="session")
def quick(weights):
    """tiny.en as a worker would compute it on this machine."""
    return recognizer(weights, cpu_precision(weights.dims.n_audio_state))


@pytest.fixture(scope="session")
def random_weights():
    """Make a small model of random values; more mel bands, languages and heads than tiny.en has."""

    def make(**changes):
        dims = ModelDimensions(
            n_mels=128,
            n_audio_ctx=1500,
            n_audio_state=128,
            n_audio_head=2,
            n_audio_layer=2,
            n_vocab=51866,
            n_text_ctx=448,
            n_text_state=128,
            n_text_head=2,
            n_text_layer=2,
        )
        dims = dataclasses.replace(dims, **changes)
        torch.manual_seed(11)
        model = Whisper(dims).eval()
        torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
        return model, Weights("random", None, Path("/nonexistent"), dims, model.state_dict())

    return make


def window(pcm, **changes):
    """Return a request for a whole recording."""
    request = WindowRequest(
        key=0,
        pcm=pcm,
        start=0,
        context=0,
        language="en",
        task="transcribe",
        prompt=(),
        committed=(),
        draft=(),
        reuse=False,
    )
    return dataclasses.replace(request, **changes)


def growing(pcm, step_s):
    """Cut a recording into the windows of a live session: each ends a step later."""
    step = int(step_s * 16_000) // FRAME * FRAME
    return [pcm[:end] for end in range(step, len(pcm) + step, step)]


def text_of(result):
    """Return a result's words as one text, or raise what it is instead."""
    if isinstance(result, Exception):
        raise result
    return "".join(word.text for word in result.words)


def word_errors(reference, hypothesis):
    """Return (errors, words): the edit distance of normalised words, said apart or together, and how many there are."""
    normalise = normaliser("en")
    spoken = normalise(reference)
    return verify.word_errors(spoken, respelled(spoken, normalise(hypothesis))), len(spoken)

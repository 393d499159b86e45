"""What a worker says against what Whisper itself would say: live sessions, each of their steps decoded once more.

The judge is openai-whisper's own decoder in fp32, without our drafts, batches and caches. It reads a step's
text in one pass, and says after each token which one plain greedy decoding would take next: if each is the one that
was said, plain greedy decoding says that text, by induction.
"""

import dataclasses

import numpy as np
import pytest
import torch
import whisper

from gpu_worker.model.checkpoint.locate import default_cache_dir, load_checkpoint, locate
from gpu_worker.model.decoding import Decoded, DecodeRequest, decode
from gpu_worker.model.nn.linear import EXACT, Precision
from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.model.recognizer import Weights
from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognition.step import run_step
from shared.clips import load_clips
from tests.gpu_worker.model.speech.conftest import recognizer
from tests.gpu_worker.recognition.driver import open_stream

SESSIONS = 6
STEPS = 300
PERIOD = 8000
NEAR_TIE = 0.1
ROUNDED = Precision(encoder="bf16", decoder="bf16", vocabulary="int8")

pytestmark = pytest.mark.timeout(900)  # a minute on a machine at rest; the sessions are had in one fixture


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The machine is shared, and a worker on the CPU has one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights():
    """tiny.en, from the cache or fetched."""
    file = locate("tiny.en", cache_dir=default_cache_dir())
    return Weights("tiny.en", "tiny.en", file, *load_checkpoint(file))


@pytest.fixture(scope="module")
def judge(weights):
    """Whisper's own decoder."""
    model = whisper.model.Whisper(weights.dims)
    model.load_state_dict(weights.state)
    return model.float().eval().decoder


def live(made, look, enough):
    """Have sessions side by side until ``look`` was shown enough decodes: what was asked in a step, and what was said."""
    shown = 0

    def noting(decoder, requests):
        nonlocal shown
        answers = decode(decoder, requests)
        look(requests, answers)
        shown += len(requests)
        return answers

    made._step.decode = noting
    clips = [np.frombuffer(clip.pcm(), dtype="<i2") for clip in load_clips()]
    pause = np.zeros(10_000, dtype=np.int16)
    streams = [open_stream(key=key, policy=PolicySettings()) for key in range(SESSIONS)]
    for stream in streams:
        made.open(stream.key)
    audio = [np.concatenate([part for clip in clips[key:] + clips[:key] for part in (clip, pause)]) for key in range(6)]
    for start in range(0, min(map(len, audio)), PERIOD):
        if shown >= enough:
            return
        for stream, pcm in zip(streams, audio, strict=True):
            stream.receive(start, pcm[start : start + PERIOD].tobytes())
        run_step(streams, made, period=PERIOD)
        for stream in streams:
            stream.take()
    raise AssertionError(f"the clips are over after {shown} steps")


@torch.inference_mode()
def judged(judge, tokens, request, said):
    """Return Whisper's logits after the marks and after each token that was said, (tokens + 1, vocabulary).

    A key of a silence group is repeated once for each of its frames: the same attention, without a bias.
    """
    encoding = request.encoding
    counts = torch.ones(encoding.keys.shape[-1], dtype=torch.long)
    if encoding.bias is not None:
        counts = encoding.bias.exp().round().long()
    # Whisper takes the length of the first entry for the number of tokens that are cached: none.
    cache = {"tokens": torch.empty(1, 0, 1)}
    for block, keys, values in zip(judge.blocks, encoding.keys.float(), encoding.values.float(), strict=True):
        cache[block.cross_attn.key] = keys.repeat_interleave(counts, -1).flatten(0, 1).T[None]
        cache[block.cross_attn.value] = values.repeat_interleave(counts, 1).transpose(0, 1).flatten(1)[None]
    text = [*request.start, *request.committed, *said.tokens]
    first = len(request.start) + len(request.committed) - 1
    logits = judge(torch.tensor([text]), torch.empty(1, 1, 1), kv_cache=cache)[0, first:]
    logits[:, list(tokens.suppressed)] = float("-inf")
    logits[:, tokens.eot + 1 :] = float("-inf")
    if not request.committed:
        logits[0, list(tokens.not_first)] = float("-inf")
    return logits


def differences(judge, tokens, request, said):
    """Return by how much the judge would rather have said something else, for each token that it would not say."""
    logits = judged(judge, tokens, request, said)
    text = [*said.tokens, tokens.eot] if said.ended else [*said.tokens]
    gaps = logits[: len(text)].max(-1).values - logits[torch.arange(len(text)), text]
    return [float(gap) for gap in gaps if gap > 0]


@dataclasses.dataclass(frozen=True)
class Seen:
    """One window's decode: what was asked, in how large a step, what was said, and what the judge objects to it.

    ``exact`` and ``rounded`` are the two precisions.
    """

    request: DecodeRequest
    batch: int
    exact: Decoded
    rounded: Decoded
    exact_gaps: list[float]
    rounded_gaps: list[float]


@pytest.fixture(scope="module")
def steps(weights, judge, one_thread):
    """Live sessions as a worker computes them, each step decoded in fp32 as well, with all its drafts."""
    made = recognizer(weights, ROUNDED)
    exact = recognizer(weights, EXACT)._step._network.decoder
    tokens = Tokens(weights.dims.n_vocab)
    seen = []

    def look(requests, answers):
        for request, said, rounded in zip(requests, decode(exact, requests), answers, strict=True):
            gaps = differences(judge, tokens, request, said)
            same = (said.tokens, said.ended) == (rounded.tokens, rounded.ended)
            rounded_gaps = gaps if same else differences(judge, tokens, request, rounded)
            plain = dataclasses.replace(request, encoding=None)
            seen.append(Seen(plain, len(requests), said, rounded, gaps, rounded_gaps))

    with torch.inference_mode():
        live(made, look, STEPS)
    return seen


def test_sessions_say_what_plain_greedy_decoding_says(steps):
    """In fp32 each token of 300 real steps, drafted, cached and batched, is the one that Whisper's decoder takes."""
    assert len(steps) >= STEPS
    assert sum(len(each.exact.tokens) for each in steps) > 3 * STEPS
    assert sum(bool(each.request.draft) for each in steps) > STEPS / 2
    assert sum(each.exact.accepted > 0 for each in steps) > STEPS / 2
    assert sum(each.batch > 1 for each in steps) > STEPS / 2
    assert [each.exact_gaps for each in steps if each.exact_gaps] == []


def test_reduced_precision_differs_only_at_near_ties(steps):
    """As a worker computes it 98 % of the tokens are those of fp32; in place of the others was one nearly as likely."""
    gaps = [gap for each in steps for gap in each.rounded_gaps]
    assert len(gaps) <= 0.02 * sum(len(each.rounded.tokens) for each in steps)
    assert max(gaps, default=0.0) < NEAR_TIE
    assert sum(each.rounded.tokens == each.exact.tokens for each in steps) >= 0.96 * len(steps)


def test_the_judge_finds_a_wrong_token(weights, judge):
    """One token exchanged for the next in the vocabulary is found, and so is a text that ends too soon."""
    tokens = Tokens(weights.dims.n_vocab)
    objections = []

    def spoil(requests, answers):
        for request, said in zip(requests, answers, strict=True):
            if len(said.tokens) > 4:
                wrong = (*said.tokens[:3], said.tokens[3] + 1, *said.tokens[4:])
                texts = [dataclasses.replace(said, tokens=text, ended=True) for text in (wrong, said.tokens[:3])]
                objections.extend(differences(judge, tokens, request, text) for text in texts)

    live(recognizer(weights, ROUNDED), spoil, enough=25)
    assert len(objections) > 10
    assert all(objections)

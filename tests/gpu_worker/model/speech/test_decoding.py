"""Drafts and other rows change nothing: real windows of live sessions, each token compared with plain greedy decoding."""

import random

import pytest
import torch

from gpu_worker.model.cpu.decoder import RowSpan
from gpu_worker.model.decoding import DecodeRequest, decode
from tests.gpu_worker.model.speech.conftest import growing

BATCH = 24


@torch.inference_mode()
def encoded(recognizer, clips, step_s):
    """Return the network and the encodings of all windows of a live session over each clip."""
    network = recognizer._step._network
    pcms = [pcm for clip in clips for pcm in growing(clip.pcm, step_s)]
    return network, [network.encoder.encode([network.spectrum.raw(pcm, 0)])[0] for pcm in pcms]


def request(network, encoding, committed=(), draft=()):
    """Return a request that may take forty new tokens."""
    start, sot = network.tokens.start("en", "transcribe", ())
    return DecodeRequest(encoding, start, sot, committed, draft, 40)


@torch.inference_mode()
def run(network, requests):
    """Decode many windows, some at a time."""
    return [
        said for at in range(0, len(requests), BATCH) for said in decode(network.decoder, requests[at : at + BATCH])
    ]


@pytest.fixture(scope="module")
def steps(exact, clips):
    """The windows of live sessions a second apart, each with its plain greedy text, in fp32."""
    network, encodings = encoded(exact, clips, 1.0)
    return network, list(zip(encodings, run(network, [request(network, e) for e in encodings]), strict=True))


def test_drafts_change_no_token(steps):
    """With the last tail, a spoilt one, one too long, or nonsense as its draft, every window says the same."""
    network, windows = steps
    chance = random.Random(1)
    asked, plains = [], []
    before = ()
    for encoding, plain in windows:
        spoilt = list(plain.tokens)
        if spoilt:
            spoilt[chance.randrange(len(spoilt))] = 262
        nonsense = tuple(chance.randrange(50_000) for _ in range(6))
        drafts = [before, plain.tokens, tuple(spoilt), plain.tokens + nonsense, nonsense]
        asked += [request(network, encoding, draft=draft) for draft in drafts]
        plains += [plain] * len(drafts)
        before = plain.tokens
    for said, plain in zip(run(network, asked), plains, strict=True):
        assert said.tokens == plain.tokens
        assert said.ended == plain.ended
        assert said.logprobs == pytest.approx(plain.logprobs, abs=1e-3)
        assert said.attention.shape == plain.attention.shape
        assert (said.attention - plain.attention).abs().max() < 1e-3
    assert len(asked) > 200


def test_a_right_draft_is_taken_whole(steps):
    """A draft that is what the model says costs one pass: all of it stands."""
    network, windows = steps
    asked = [request(network, encoding, draft=plain.tokens) for encoding, plain in windows[::4]]
    assert [said.accepted for said in run(network, asked)] == [len(plain.tokens) for _, plain in windows[::4]]


def test_committed_tokens_are_gone_on_from(steps):
    """Forcing the first half of a text gives its second half, with or without a draft."""
    network, windows = steps
    texts = [(encoding, plain.tokens) for encoding, plain in windows[::3] if len(plain.tokens) > 1]
    for drafted in (0, 3):
        asked = []
        for encoding, tokens in texts:
            half = len(tokens) // 2
            asked.append(request(network, encoding, tokens[:half], tokens[half : half + drafted]))
        for said, (_, tokens) in zip(run(network, asked), texts, strict=True):
            assert said.tokens == tokens[len(tokens) // 2 :]


def test_other_rows_change_no_token(steps):
    """Windows decoded alone say what they say in a batch of all lengths."""
    network, windows = steps
    for encoding, plain in windows[::7]:
        [alone] = run(network, [request(network, encoding)])
        assert alone.tokens == plain.tokens


def test_reduced_precision_differs_only_at_near_ties(exact, quick, clips):
    """As a worker computes it, drafts and other rows leave 98 % of windows as they were; the rest had near-ties in fp32."""
    network, encodings = encoded(quick, clips, 1.0)
    plains = [run(network, [request(network, encoding)])[0].tokens for encoding in encodings]
    drafts = [(), *plains[:-1]]
    asked = [request(network, e, draft=draft) for e, draft in zip(encodings, drafts, strict=True)]
    same = 0
    for said, plain, encoding in zip(run(network, asked), plains, encodings, strict=True):
        if said.tokens == plain:
            same += 1
            continue
        pairs = zip((*said.tokens, 50256), (*plain, 50256), strict=False)
        at, other = next((i, token) for i, (token, best) in enumerate(pairs) if token != best)
        assert _gap(exact, encoding, plain[:at], other) < 0.1
    assert same >= 0.98 * len(plains) - 1


@torch.inference_mode()
def _gap(exact, encoding, text, other):
    """Return by how much ``other`` is less likely after a text than the best token, in fp32 logits."""
    decoder = exact._step._network.decoder
    tokens = [50257, 50362, *text]
    buffer = torch.empty(decoder.attention_heads, len(tokens), encoding.frames)
    spans = [RowSpan(0, 0, len(tokens), encoding, buffer, 1)]
    hidden = decoder.forward(tokens, spans, decoder.cache(1, len(tokens)))[-1:]
    [best] = decoder.vocabulary.choose(hidden, [] if text else [0]).tokens
    return float(hidden @ (decoder.vocabulary._embedding[best] - decoder.vocabulary._embedding[other]))


def test_the_limit_ends_a_decode(steps):
    """A decode stops at its limit and says that it was not the model's end."""
    network, windows = steps
    encoding, plain = max(windows, key=lambda step: len(step[1].tokens))
    short = DecodeRequest(encoding, *network.tokens.start("en", "transcribe", ()), (), plain.tokens, 3)
    [said] = run(network, [short])
    assert said.tokens == plain.tokens[:3]
    assert not said.ended


def test_too_many_decided_tokens_are_refused(steps):
    """Text that does not fit the model's context is an error with both numbers, not a crash inside torch."""
    network, windows = steps
    with pytest.raises(ValueError, match="the model holds 448"):
        run(network, [request(network, windows[0][0], (262,) * 447)])

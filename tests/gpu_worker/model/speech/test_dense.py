"""The way CUDA computes, on a CPU in fp32: fixed shapes, padding, memory that is used again."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from gpu_worker.model.alignment import token_boundaries
from gpu_worker.model.cuda.alignment import boundaries_together
from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.cuda.shapes import EncoderShape, Packing, batch_rows, split_into_passes
from gpu_worker.model.decoding import Decoded, DecodeRequest, decode
from gpu_worker.model.mel import Spectrum
from gpu_worker.model.network import Network
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import EXACT
from gpu_worker.model.step import DecodeSettings, Step
from gpu_worker.recognizer import WindowResult
from tests.gpu_worker.model.speech.conftest import growing, window

CPU = torch.device("cpu")


class Replayed:
    """A recorder that runs the pass again, between inputs and outputs that stay where they are, as CUDA's do."""

    def __init__(self):
        self.started = 0

    def __call__(self, work, inputs):
        own_inputs = [each.clone() for each in inputs]
        answer = work(*own_inputs).clone()

        def replay(values):
            self.started += 1
            for target, value in zip(own_inputs, values, strict=True):
                target.copy_(value)
            return answer.copy_(work(*own_inputs))

        return replay


def build(weights, recorder=None):
    """Return both ways to compute a checkpoint in fp32: one window after another, and all together."""
    return [
        Network.build(
            weights.state, weights.dims, name=weights.official, precision=EXACT, device=CPU,
            settings=EncoderSettings(keep=False), dense=dense, graphs=Graphs(recorder),
        )
        for dense in (False, True)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def recorder():
    return Replayed()


@pytest.fixture(scope="module")
def both(weights, recorder):
    """tiny.en both ways."""
    return build(weights, recorder)


@pytest.fixture(scope="module")
def small(random_weights):
    """A small model of random values both ways."""
    return build(random_weights()[1], Replayed())


@torch.inference_mode()
def test_spectra_of_many_windows_are_those_of_each(clips):
    """Windows of all lengths, with and without samples before them, one too short for a frame among them."""
    alone, together = Spectrum(80, CPU), Spectrum(80, CPU, together=True)
    windows = [(clips[0].pcm, 0), (clips[1].pcm[:16_000], 640), (clips[2].pcm[:150], 0), (clips[3].pcm, 8000)]
    for one, other in zip(alone.raws(windows), together.raws(windows), strict=True):
        assert one.shape == other.shape
        assert one.numel() == 0 or (one - other).abs().max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("full", [False, True])
def test_windows_encoded_together_are_as_alone(small, clips, full):
    """Windows of a second to the whole context come out of batches as alone: frames, silence, and its weights."""
    spectrum = small[0].spectrum
    everything = np.concatenate([clip.pcm for clip in clips])
    raws = [spectrum.raw(everything[: int(s * 16_000)], 0) for s in (1.0, 29.9, 2.02, 7.3, 28.5, 1.0, 12.0, 0.06)]
    one, other = (network.encoder.encode(raws, full=full) for network in small)
    for alone, together in zip(one, other, strict=True):
        assert together.frames == alone.frames
        assert together.keys.shape == alone.keys.shape
        assert (audible(together) - audible(alone)).abs().max() < 1e-3
        assert (together.bias is None) == (alone.bias is None)
        if alone.bias is not None:
            assert torch.equal(together.bias.sort().values, alone.bias.sort().values)
            silence, other = (beside(each).sort(-2).values for each in (alone, together))
            assert (silence - other).abs().max() < 1e-3


def audible(encoding):
    """Return what the decoder reads of a window's frames."""
    return encoding.values[:, :, encoding.first : encoding.first + encoding.frames]


def beside(encoding):
    """Return what it reads of everything else."""
    after = encoding.first + encoding.frames
    return torch.cat([encoding.values[:, :, : encoding.first], encoding.values[:, :, after:]], 2)


@torch.inference_mode()
def test_many_windows_make_few_batches_of_like_lengths(small, clips):
    """Forty windows of a live session are as alone, though they go through several batches and the same recordings."""
    raws = [small[0].spectrum.raw(pcm, 0) for clip in clips[:4] for pcm in growing(clip.pcm, 1.0)]
    one, other = (network.encoder.encode(raws) for network in small)
    worst = max(float((audible(a) - audible(b)).abs().max()) for a, b in zip(one, other, strict=True))
    assert len(raws) > 20
    assert worst < 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("count", [3, 12])
def test_a_window_is_encoded_in_a_batch_as_alone(small, clips, count):
    """What no number is stays in its window, recorded and packed; what was encoded before it stays what it is."""
    spectrum, encoder = small[1].spectrum, small[1].encoder
    raws = [spectrum.raw(clips[i % 4].pcm[: 16_000 * (2 + i)], 0) for i in range(count)]
    before, again = encoder.encode(raws), encoder.encode(raws)
    spoilt = encoder.encode([raw * float("nan") if i == 1 else raw for i, raw in enumerate(raws)])
    for i in range(count):
        assert torch.equal(again[i].values, before[i].values)
        assert torch.equal(again[i].keys, before[i].keys)
        assert spoilt[i].values.isnan().all() if i == 1 else torch.equal(spoilt[i].values, before[i].values)


@pytest.fixture(scope="module")
def requests(both, clips):
    """Windows of live sessions with drafts good and bad, committed text, and prompts; as each way encodes them."""
    chance = random.Random(5)
    plain, dense = both
    asked = []
    with torch.inference_mode():
        raws = [plain.spectrum.raw(pcm, 0) for clip in clips[:4] for pcm in growing(clip.pcm, 1.7)]
        encodings = zip(plain.encoder.encode(raws), dense.encoder.encode(raws), strict=True)
        before = ()
        for alone, together in encodings:
            prompt = tuple(chance.randrange(300, 40_000) for _ in range(chance.choice([0, 0, 3, 60])))
            start, sot = plain.tokens.start("en", "transcribe", prompt)
            cut = chance.randrange(len(before) + 1)
            draft = [token + (chance.random() < 0.1) for token in before[cut:]]
            limit = chance.choice([3, 40])
            pair = [DecodeRequest(encoding, start, sot, before[:cut], draft, limit) for encoding in (alone, together)]
            asked.append(pair)
            [said] = decode(plain.decoder, [dataclasses.replace(pair[0], start=[50257, 50362], sot=0, committed=())])
            before = said.tokens
    return asked


@torch.inference_mode()
def test_rows_decoded_together_are_as_alone(both, requests, recorder):
    """In batches of 1 to 11, one after another in the same memory, each window says what it says alone."""
    plain, dense = both
    chance = random.Random(6)
    for count in (1, 11, 2, 7, 1, 11, 5, 2):
        some = chance.sample(requests, count)
        alone = [decode(plain.decoder, [pair[0]])[0] for pair in some]
        together = decode(dense.decoder, [pair[1] for pair in some])
        for one, other in zip(alone, together, strict=True):
            assert (other.tokens, other.accepted, other.ended) == (one.tokens, one.accepted, one.ended)
            assert other.logprobs == pytest.approx(one.logprobs, abs=1e-3)
            assert other.no_speech == pytest.approx(one.no_speech, abs=1e-4)
            assert other.attention.shape == one.attention.shape
            assert (other.attention - one.attention).abs().max() < 1e-3
    assert recorder.started > 30


@torch.inference_mode()
def test_numbers_that_are_none_stay_in_their_row(both, requests):
    """A window of NaN fails alone: neither its neighbours nor those that use the memory next see it."""
    _, dense = both
    some = [pair[1] for pair in requests[:3]]
    before = decode(dense.decoder, some)
    nan = dataclasses.replace(some[2].encoding, values=some[2].encoding.values * float("nan"))
    broken = decode(dense.decoder, [*some[:2], dataclasses.replace(some[2], encoding=nan, committed=(1000,) * 40)])
    assert isinstance(broken[2], ArithmeticError)
    few = decode(dense.decoder, some[:2])  # shorter ones, where the long one was
    roomy = decode(dense.decoder, [*some[:2], dataclasses.replace(some[2], limit=90)])  # as large as the broken one
    assert isinstance(roomy[2], Decoded)
    for answers in (broken, few, roomy):
        assert [said.tokens for said in answers[:2]] == [said.tokens for said in before[:2]]


@torch.inference_mode()
def test_what_was_decoded_outlives_the_next_batch(both, requests):
    """Attention that one batch has recorded is the same when the next has used the memory."""
    _, dense = both
    [said] = decode(dense.decoder, [requests[0][1]])
    recorded = said.attention.clone()
    decode(dense.decoder, [requests[4][1]])
    assert torch.equal(said.attention, recorded)


@torch.inference_mode()
def test_recordings_go_with_the_memory_that_they_know(random_weights, clips):
    """A window is decoded as before when a larger batch between has made its memory another."""
    recorder = Replayed()
    dense = build(random_weights()[1], recorder)[1]
    start, sot = dense.tokens.start("en", "transcribe", ())
    encodings = dense.encoder.encode([dense.spectrum.raw(clip.pcm, 0) for clip in clips[:3]])
    asked = [DecodeRequest(encoding, start, sot, (), (), 8) for encoding in encodings]
    [before] = decode(dense.decoder, asked[:1])
    started = recorder.started
    decode(dense.decoder, asked)
    [after] = decode(dense.decoder, asked[:1])
    assert started > 2
    assert after.tokens == before.tokens
    assert torch.equal(after.attention, before.attention)


@torch.inference_mode()
def test_a_step_is_the_same_both_ways(both, clips):
    """From samples to words with their times: a step over windows of all lengths, and one that cannot be, among them."""
    asked = [window(clip.pcm[: 16_000 * (1 + i)], key=i) for i, clip in enumerate(clips)]
    asked.insert(2, window(clips[0].pcm, start=5))
    asked.insert(4, window(clips[0].pcm[:100]))
    alone, together = (Step(network, DecodeSettings()).run(asked) for network in both)
    assert isinstance(together[2], ValueError)
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, WindowResult):
            same = {"logprobs": (), "no_speech": 0.0}
            assert dataclasses.replace(other, **same) == dataclasses.replace(one, **same)


@torch.inference_mode()
def test_languages_are_found_together(small, clips):
    """Windows without a given language get the same one both ways, in another model's dimensions."""
    alone, together = small
    raws = [alone.spectrum.raw(clip.pcm, 0) for clip in clips[:3]]
    assert alone.detect(alone.encoder.encode(raws)) == together.detect(together.encoder.encode(raws))


@pytest.mark.parametrize("seed", range(6))
def test_word_times_found_together_are_those_found_alone(seed):
    """Attention of all sizes, some without the row that chose the end, have the same paths."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(1, 1), (2, 3), (9, 4), (30, 250), (12, 700), (3, 60), (60, 61)]
    attentions = [torch.rand(4, rows, frames, generator=generator) ** 8 + 1e-6 for rows, frames in sizes]
    counts = [rows - (1 if seed % 2 else 0) for rows, _ in sizes]
    alone = [token_boundaries(attention, count) for attention, count in zip(attentions, counts, strict=True)]
    assert boundaries_together(attentions, counts) == alone


def test_nothing_said_has_no_times_together():
    """Windows without a token take no part, alone or beside others."""
    assert boundaries_together([torch.ones(2, 1, 9)], [0]) == [[0]]
    assert boundaries_together([], []) == []


def test_passes_are_recorded_the_second_time_and_the_oldest_goes():
    """A key runs as it is first, is recorded next, and is dropped when more are recorded than allowed."""
    recorder = Replayed()
    graphs = Graphs(recorder, most=2)
    one = torch.ones(3)
    for key in "aaab":
        assert torch.equal(graphs.run((key, 1), lambda x: x * 2, (one,)), one * 2)
    assert (graphs.recorded, recorder.started) == (1, 2)
    graphs.run(("c", 1), lambda x: x * 2, (one,))
    assert graphs.recorded == 0
    graphs.run(("c", 1), lambda x: x * 2, (one,))
    graphs.forget("b")
    assert graphs.recorded == 1
    graphs.forget("c")
    assert graphs.recorded == 0


def test_what_cannot_be_recorded_runs_as_it_is():
    """A recorder that fails is not asked again, and every pass is answered."""
    asked = []

    def refuse(work, inputs):
        asked.append(work)
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs = Graphs(refuse)
    answers = [graphs.run(("a", 1), lambda x: x + 1, (torch.zeros(1),)) for _ in range(4)]
    assert [float(answer) for answer in answers] == [1.0] * 4
    assert len(asked) == 1


def test_a_pass_has_room_for_each_window_and_little_beside():
    """Each window has columns of its own in one pass, no pass is larger than it may be, and padding is a tenth."""
    lengths = [random.Random(i).randrange(100, 1500) for i in range(200)]
    seen, columns = [], 0
    for parts in split_into_passes(lengths):
        packing = Packing.tight([[lengths[i] for i in part] for part in parts])
        order = [i for part in parts for i in part]
        ends = [*packing.starts()[1:], packing.columns]
        assert all(end - at >= lengths[i] for at, end, i in zip(packing.starts(), ends, order, strict=True))
        assert all(each % 8 == 0 for _, each in packing.parts)
        assert packing.columns <= 65_536
        seen += order
        columns += packing.columns
    assert sorted(seen) == list(range(200))
    assert columns < 1.1 * sum(lengths)
    assert split_into_passes([]) == []


def test_shapes_hold_what_they_are_for():
    """Every count of frames fits its shape, masks are aligned, and there are few shapes."""
    shapes = set()
    for kept in [*range(16, 1500, 16), 1500]:
        groups = 0 if kept == 1500 else 94 - kept // 16
        shape = EncoderShape.of(kept, 16, 4, 1500)
        assert shape.columns >= kept + groups
        assert shape.columns % 8 == 0
        assert kept <= shape.frames <= 1500
        assert kept + 4 <= shape.frames or kept >= 1488
        shapes.add(shape)
    assert len(shapes) <= 24
    assert [batch_rows(n) for n in (1, 2, 3, 5, 9, 16, 17, 33, 64)] == [1, 2, 4, 8, 16, 16, 32, 48, 64]

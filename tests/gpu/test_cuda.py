"""On a real GPU: recorded passes, half precision, memory. Skipped where there is none; no download is needed."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch.nn.attention import SDPBackend, sdpa_kernel
from whisper.model import ModelDimensions, Whisper

from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.loading import precision_for
from gpu_worker.model.network import Network
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import EXACT, Precision
from gpu_worker.model.recognizer import WhisperRecognizer
from gpu_worker.model.step import DecodeSettings, Step
from gpu_worker.model.vad import Vad, VadState
from gpu_worker.recognizer import WindowRequest, WindowResult
from scripts.capacity.step_timing import Bench
from scripts.capacity.windows import WindowShape
from shared.clips import load_clips

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
DIMS = ModelDimensions(
    n_mels=128, n_audio_ctx=1500, n_audio_state=256, n_audio_head=4, n_audio_layer=3, n_vocab=51866, n_text_ctx=448,
    n_text_state=256, n_text_head=4, n_text_layer=3,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _exact_convolutions():
    """What is asked for in fp32 is computed in it; by itself torch rounds what convolutions multiply."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def state():
    """A small model of random values; it says anything, but always the same."""
    torch.manual_seed(3)
    model = Whisper(DIMS)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    return model.state_dict()


@pytest.fixture(scope="module")
def requests():
    """Windows of real speech, of one to ten seconds."""
    pcms = [np.frombuffer(clip.pcm(), dtype="<i2") for clip in load_clips()]
    return [
        WindowRequest(i, pcm[: 16_000 * (1 + i % 10)], 0, 0, "en", "transcribe", (), (), (), reuse=False)
        for i, pcm in enumerate(pcms * 3)
    ]


def step_on(state, device, precision, graphs=None):
    """Return a step over a network."""
    network = Network.build(
        state, DIMS, name=None, precision=precision, device=device, settings=EncoderSettings(keep=False), graphs=graphs
    )
    return Step(network, DecodeSettings())


@torch.inference_mode()
def run(step, requests):
    """Return a step's results, none an error."""
    answers = step.run(requests)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def plain(result):
    """Return a result without what is only nearly the same."""
    return dataclasses.replace(result, logprobs=(), no_speech=0.0)


def test_fp32_says_what_the_cpu_says(state, requests):
    """Words and times of a whole step are those that the CPU finds one window after another."""
    here = run(step_on(state, CPU, EXACT), requests)
    there = run(step_on(state, CUDA, EXACT), requests)
    same = sum(plain(one) == plain(other) for one, other in zip(here, there, strict=True))
    assert same >= 0.95 * len(requests)  # sums are added up in another order: random text is full of near-ties


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_a_recorded_pass_is_the_pass(state, requests, kind):
    """Steps of growing and shrinking size say the same recorded and not, and passes were recorded."""
    precision = Precision(kind, kind, kind)
    graphs = Graphs.on(CUDA)
    recorded, eager = step_on(state, CUDA, precision, graphs), step_on(state, CUDA, precision, Graphs(None))
    for count in (1, 1, 1, 4, 4, 4, 24, 24, 24, 3, 1, 24):
        for one, other in zip(run(recorded, requests[:count]), run(eager, requests[:count]), strict=True):
            assert plain(one) == plain(other)
    assert graphs.recorded >= 4


def test_numbers_that_are_none_stay_in_their_row(state, requests):
    """A window of values that are no numbers fails alone, in its step and in those after it."""
    step = step_on(state, CUDA, precision_for(CUDA, DIMS.n_audio_state))
    before = run(step, requests[:3])
    raws = step._network.spectrum.raws

    def spoilt(windows):
        mels = raws(windows)
        return [mel * float("nan") if i == 1 and len(mels) == 3 else mel for i, mel in enumerate(mels)]

    step._network.spectrum.raws = spoilt
    with torch.inference_mode():
        answers = step.run(requests[:3])
    step._network.spectrum.raws = raws
    assert isinstance(answers[1], ArithmeticError)
    after = run(step, requests[:3])
    for i in (0, 2):
        assert plain(answers[i]) == plain(before[i]) == plain(after[i])


def test_made_up_text_is_said_in_half_precision():
    """Weights of a model's size that spell a known text spell it, in steps of one and of many windows."""
    bench = Bench("small", "cuda", 40)
    shapes = [WindowShape(16_000 * s, 10, 8, 6, 12) for s in (2, 5, 9)]
    for found in bench.steps({1.0: shapes}, (1, 8, 64), 1e12):
        assert found.step_ms > 0  # steps() itself raises if a text is not the one that it should be


def test_unloading_gives_the_memory_back():
    """What a load takes on the device, recorded passes among it, an unload returns; the words are the same again."""
    bench = Bench("base", "cuda", 20)
    made: WhisperRecognizer = bench.recognizer
    request = bench.model.request(0, WindowShape(48_000, 0, 0, 0, 20), np.ones(48_000, dtype=np.int16))
    [before] = made.transcribe([request])
    loaded = torch.cuda.memory_reserved()
    made.unload()
    assert torch.cuda.memory_reserved() < loaded / 4
    made.load()
    [after] = made.transcribe([request])
    assert isinstance(before, WindowResult)
    assert isinstance(after, WindowResult)
    assert plain(after) == plain(before)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("windows", "rows", "columns"), [(5, 312, 312), (4, 1, 384), (3, 48, 192)])
def test_attention_is_not_torchs_slow_way(state, dtype, windows, rows, columns):
    """The kernel that needs neither a plan for each shape nor all logits in memory takes what we ask, and is right."""
    step_on(state, CUDA, precision_for(CUDA, DIMS.n_audio_state))
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    q, k, v = (torch.randn(windows, count, 4, 64, device=CUDA) for count in (rows, columns, columns))
    bias = torch.zeros(windows, columns, device=CUDA)
    bias[:, columns - 40 :] = float("-inf")
    seen = torch.arange(columns, device=CUDA) <= torch.arange(columns - rows, columns, device=CUDA)[:, None]
    for mask in (bias[:, None, None].expand(-1, -1, rows, -1), seen[None, None].expand(windows, -1, -1, -1)):
        given = mask if mask.dtype == torch.bool else mask.to(dtype)
        with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):  # raises if it cannot
            found = F.scaled_dot_product_attention(
                *(each.transpose(1, 2).to(dtype) for each in (q, k, v)), attn_mask=given, scale=0.125
            )
        exact = F.scaled_dot_product_attention(
            *(each.transpose(1, 2).double().cpu() for each in (q, k, v)),
            attn_mask=mask.cpu() if mask.dtype == torch.bool else mask.double().cpu(), scale=0.125,
        )  # fmt: skip
        assert (found.double().cpu() - exact).abs().max() < 0.03


@torch.inference_mode()
def test_a_pass_that_cannot_be_recorded_runs_on_the_stream_it_was_asked_on():
    """After a recording that fails, passes run as they are, on the current stream, with what came before them done."""
    graphs = Graphs.on(CUDA)
    stream = torch.cuda.current_stream()

    def waits(x):
        return x * float(x.sum())

    for count in range(3):
        one = torch.full((4,), float(count), device=CUDA)
        assert torch.equal(graphs.run(("waits", 4), waits, (one,)), one * 4 * count)
        assert torch.cuda.current_stream() == stream
    assert graphs.recorded == 0


@torch.inference_mode()
def test_a_later_load_records_nothing_beforehand():
    """A load for which a client waits is spared what the process's first one has built."""
    bench = Bench("tiny", "cuda", 20)
    first = bench.recognizer._step._network.decoder._graphs.recorded
    bench.recognizer.unload()
    bench.recognizer.load()
    assert first > 10
    assert bench.recognizer._step._network.decoder._graphs.recorded < first / 2


def test_speech_is_detected_as_on_the_cpu():
    """The VAD's probabilities are the CPU's, of streams of several lengths in one call."""
    pcms = [np.frombuffer(clip.pcm(), dtype="<i2")[: 512 * 20 * (1 + i)] for i, clip in enumerate(load_clips()[:4])]
    here, there = Vad(), Vad(device=CUDA)
    pairs = zip(
        here.run([(VadState.new(), p) for p in pcms]), there.run([(VadState.new(), p) for p in pcms]), strict=True
    )
    for (one, _), (other, _) in pairs:
        assert np.abs(one - other).max() < 1e-3

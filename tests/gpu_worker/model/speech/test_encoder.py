import pytest
import torch
from whisper.model import Whisper

from gpu_worker.model.cpu.encoder import Encoder
from gpu_worker.model.mel import Spectrum
from gpu_worker.model.nn.compaction import EncoderSettings, Level
from gpu_worker.model.nn.layers import AudioLayers
from gpu_worker.model.nn.linear import EXACT

CPU = torch.device("cpu")


def build(weights, settings):
    """Return the encoder of a checkpoint in fp32."""
    return Encoder(AudioLayers.build(weights.state, weights.dims, EXACT, CPU), CPU, settings)


def padded(raw, settings):
    """Return a window as whisper's encoder takes it: 30 s, silence behind the audio."""
    level = Level.of(raw, settings)
    return torch.nn.functional.pad(level.scale(raw), (0, 3000 - raw.shape[1]), value=level.silence)[None]


@pytest.fixture(scope="module")
def tiny(weights):
    """Whisper's own tiny.en, and ours in fp32."""
    model = Whisper(weights.dims)
    model.load_state_dict({k: v.float() for k, v in weights.state.items()})
    return model.eval(), build(weights, EncoderSettings())


@torch.inference_mode()
def test_full_context_equals_whispers_encoder(tiny, clips):
    """With nothing compacted every column is whisper's, to 1e-4 in fp32."""
    model, encoder = tiny
    raw = Spectrum(80, CPU).raw(clips[0].pcm, 0)
    ours = encoder.features(raw, full=True)
    theirs = model.encoder(padded(raw, EncoderSettings()))[0]
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4


@torch.inference_mode()
def test_full_context_equals_whispers_encoder_in_other_dimensions(random_weights, clips):
    """128 mel bands and other widths and layers are as exact."""
    model, weights = random_weights()
    raw = Spectrum(128, CPU).raw(clips[0].pcm, 0)
    ours = build(weights, EncoderSettings()).features(raw, full=True)
    assert (ours - model.encoder(padded(raw, EncoderSettings()))[0]).abs().max() < 1e-4


@torch.inference_mode()
def test_a_window_that_fills_the_context_is_not_compacted(tiny, clips):
    """Where audio and tail reach 30 s there is no silence to compact, and the result is whisper's."""
    model, encoder = tiny
    spoken = torch.cat([Spectrum(80, CPU).raw(clip.pcm, 0) for clip in clips], 1)[:, :2960]
    ours = encoder.features(spoken)
    assert (ours - model.encoder(padded(spoken, EncoderSettings()))[0]).abs().max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize(("group", "bound"), [(1, 0.004), (16, 0.1)])
def test_compaction_changes_little(weights, clips, group, bound):
    """Groups of one frame leave the audio as it was but for the edge of the 30 s; groups of 16 change it by percents."""
    raw = Spectrum(80, CPU).raw(clips[0].pcm, 0)
    encoder = build(weights, EncoderSettings(group=group))
    ours, whole = encoder.encode([raw])[0], encoder.encode([raw], full=True)[0]
    audible = ours.values[:, :, ours.first : ours.first + ours.frames]
    exact = whole.values[:, :, : ours.frames]
    assert (audible - exact).norm() / exact.norm() < bound


@torch.inference_mode()
def test_each_of_the_1500_positions_counts_once(tiny, clips):
    """Real frames weigh one each and silent groups as much as they stand for, 1500 in all."""
    raw = Spectrum(80, CPU).raw(clips[0].pcm, 0)
    encoding = tiny[1].encode([raw])[0]
    assert encoding.keys.shape[-1] < 1500 / 2
    assert encoding.bias.exp().sum().round() == 1500
    assert (encoding.bias[encoding.first : encoding.first + encoding.frames] == 0).all()


@torch.inference_mode()
def test_a_margin_that_covers_everything_is_exact(weights, clips):
    """A growing window on its cached frames is the window computed anew, if all of it is in the margin."""
    raw = Spectrum(80, CPU).raw(clips[0].pcm, 0)
    settings = EncoderSettings(margin=1500, growth=100.0, drift=100.0)
    encoder = build(weights, settings)
    level = Level.of(raw, settings)
    cache = None
    for end in (100, 150, 220, 222, 300):
        window = raw[:, : 2 * end].clamp(min=level.floor)
        window[0, 0] = raw.max()  # one level throughout, so that the frames are the same
        ours, cache = encoder.encode_on(window, 0, cache, reuse=True)
        [anew] = encoder.encode([window])
        assert ours.keys.shape == anew.keys.shape
        assert torch.equal(ours.bias, anew.bias)
        assert (ours.keys - anew.keys).abs().max() < 1e-4
        assert (ours.values - anew.values).abs().max() < 1e-4


@torch.inference_mode()
def test_reused_frames_change_little_and_cost_less(weights, clips):
    """With the usual margin a growing window computes a third of its rows and stays near the window computed anew."""
    raw = Spectrum(80, CPU).raw(clips[1].pcm, 0)
    settings = EncoderSettings()
    encoder = build(weights, settings)
    rows = []
    count = encoder._rows
    encoder._rows = lambda *args: rows.append(count(*args)) or rows[-1]
    cache = None
    for end in range(50, raw.shape[1] // 2, 50):
        ours, cache = encoder.encode_on(raw[:, : 2 * end], 0, cache, reuse=True)
    computed = sum(map(len, rows))
    rows.clear()
    for end in range(50, raw.shape[1] // 2, 50):
        [anew] = encoder.encode([raw[:, : 2 * end]])
    assert computed < 0.6 * sum(map(len, rows))
    audible = slice(anew.first, anew.first + anew.frames)
    assert (ours.values - anew.values)[:, :, audible].norm() / anew.values[:, :, audible].norm() < 0.15


@torch.inference_mode()
def test_without_reuse_a_window_is_exact(weights, clips):
    """Without ``reuse`` a growing window is the window computed anew, with any cache of it."""
    raw = Spectrum(80, CPU).raw(clips[1].pcm, 0)
    encoder = build(weights, EncoderSettings())
    cache = None
    for end, reuse in ((60, False), (100, True), (110, False)):
        ours, cache = encoder.encode_on(raw[:, : 2 * end], 0, cache, reuse=reuse)
    [anew] = encoder.encode([raw[:, :220]])
    assert (ours.values - anew.values).abs().max() < 1e-4


@torch.inference_mode()
def test_a_window_that_has_doubled_is_computed_anew(weights, clips):
    """Frames that were encoded with little context are encoded again at twice the length, and reused until the next doubling."""
    raw = Spectrum(80, CPU).raw(clips[1].pcm, 0)
    settings = EncoderSettings(growth=2.0, drift=100.0)
    encoder = build(weights, settings)
    cache, exact = None, []
    for end in (60, 110, 120, 170, 230, 240):
        ours, cache = encoder.encode_on(raw[:, : 2 * end], 0, cache, reuse=True)
        [anew] = encoder.encode([raw[:, : 2 * end]])
        exact.append(bool((ours.values - anew.values).abs().max() < 1e-4))
    assert exact == [True, False, True, False, False, True]


@torch.inference_mode()
@pytest.mark.parametrize("change", ["elsewhere", "shorter", "louder"])
def test_a_window_that_is_another_is_computed_anew(weights, clips, change):
    """A window that begins elsewhere, ends sooner or is much louder takes nothing from the last one."""
    raw = Spectrum(80, CPU).raw(clips[2].pcm, 0)[:, :400]
    encoder = build(weights, EncoderSettings())
    _, cache = encoder.encode_on(raw[:, :300], 0, None, reuse=True)
    window, start = {
        "elsewhere": (raw[:, 100:], 50 * 320),
        "shorter": (raw[:, :200], 0),
        "louder": (raw + torch.nn.functional.one_hot(torch.tensor(350), 400) * 3.0, 0),
    }[change]
    ours, _ = encoder.encode_on(window, start, cache, reuse=True)
    [anew] = encoder.encode([window])
    assert (ours.values - anew.values).abs().max() < 1e-4

import numpy as np
import torch
from whisper.audio import log_mel_spectrogram

from gpu_worker.model.mel import Spectrum, whole_frames
from gpu_worker.model.nn.compaction import EncoderSettings, Level
from gpu_worker.recognizer import FRAME

SPECTRUM = Spectrum(80, torch.device("cpu"))


def test_frames_equal_whispers_away_from_the_edges(clips):
    """A window's scaled spectrum is whisper's own, except where whisper mirrors the audio at its ends."""
    pcm = clips[0].pcm
    raw = SPECTRUM.raw(pcm, 0)
    mel = Level.of(raw, EncoderSettings(loudest=-10.0)).scale(raw)
    theirs = log_mel_spectrogram(pcm.astype(np.float32) / 32768.0)
    assert torch.allclose(mel[:, 2:-2], theirs[:, 2 : mel.shape[1] - 2], atol=1e-4)


def test_a_frame_is_made_only_when_all_its_samples_have_arrived():
    """A frame appears with the last sample that its second hop's window covers, not one earlier."""
    assert [whole_frames(n) for n in (0, 199, 359, 360, 679, 680)] == [0, 0, 0, 1, 1, 2]


def test_frames_do_not_change_when_more_audio_comes(clips):
    """What a short window shows of the stream, a longer one shows bit for bit."""
    pcm = clips[1].pcm
    short, long = SPECTRUM.raw(pcm[:20_000], 0), SPECTRUM.raw(pcm, 0)
    assert short.shape[1] == 2 * whole_frames(20_000)
    assert torch.allclose(short, long[:, : short.shape[1]], atol=1e-5)


def test_context_makes_a_window_in_mid_stream_equal_the_stream(clips):
    """A window that brings the samples before it sees the same frames as one that began earlier."""
    pcm = clips[2].pcm
    start = 50 * FRAME
    whole = SPECTRUM.raw(pcm, 0)
    part = SPECTRUM.raw(pcm[start - 8000 :], 8000)
    assert torch.allclose(part, whole[:, 100 : 100 + part.shape[1]], atol=1e-5)


def test_too_little_audio_makes_no_frames():
    """A window shorter than one frame is empty, not an error."""
    assert SPECTRUM.raw(np.zeros(300, dtype=np.int16), 0).shape == (80, 0)


def test_quiet_audio_is_brought_up_by_at_most_the_gain():
    """A window 30 dB too quiet is scaled as its louder self; one far below only as far as the gain reaches."""
    loud = torch.linspace(-4.0, 1.0, 60).reshape(1, 60)
    settings = EncoderSettings(loudest=1.0, gain=4.0)

    def scaled(raw):
        level = Level.of(raw, settings)
        return level.scale(raw), level

    reference, level = scaled(loud)
    quiet, lifted = scaled(loud - 3.0)
    faint, limited = scaled(loud - 6.0)
    assert level.lift == 0.0
    assert lifted.lift == 3.0
    assert limited.lift == 4.0
    assert torch.allclose(quiet, reference, atol=1e-6)
    assert torch.allclose(faint, reference - 0.5, atol=1e-6)
    assert limited.silence == (1.0 - 6.0 + 4.0 - 8.0 + 4.0) / 4.0

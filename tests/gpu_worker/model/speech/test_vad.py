import numpy as np
import pytest
import torch

from gpu_worker.model.vad import Vad, VadSettings, VadState, _weights_file
from gpu_worker.recognizer import VAD_FRAME

VAD = Vad()


def whole(pcm):
    """Return a recording's whole frames."""
    return pcm[: len(pcm) // VAD_FRAME * VAD_FRAME]


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:DeprecationWarning")
def test_probabilities_are_those_of_the_original_network(clips):
    """Frame by frame the plain network answers what Silero's own script does on real speech, to 1e-5."""
    plain = Vad(VadSettings(target=0.0))
    pcm = whole(clips[0].pcm)
    script = torch.jit.load(_weights_file())
    audio = torch.from_numpy(pcm.astype(np.float32) / 32768.0)
    with torch.no_grad():
        theirs = [float(script(frame, 16_000)) for frame in audio.split(VAD_FRAME)]
    [(ours, _)] = plain.run([(VadState.new(), pcm)])
    assert np.abs(ours - theirs).max() < 1e-5
    assert max(theirs) > 0.9


def test_pieces_and_other_streams_change_nothing(clips):
    """Streams of different lengths in one call, in pieces, get the probabilities that each gets alone and whole."""
    pcms = [whole(clip.pcm) for clip in clips[:3]]
    alone = [VAD.run([(VadState.new(), pcm)])[0][0] for pcm in pcms]
    states = [VadState.new()] * 3
    found = [[], [], []]
    cuts = [(0, 5, 40), (0, 17, 18), (0, 2, 60)]
    for part in range(3):
        streams = []
        for state, pcm, cut in zip(states, pcms, cuts, strict=True):
            end = cut[part + 1] * VAD_FRAME if part < 2 else len(pcm)
            streams.append((state, pcm[cut[part] * VAD_FRAME : end]))
        for i, (probabilities, state) in enumerate(VAD.run(streams)):
            found[i].append(probabilities)
            states[i] = state
    for pieces, reference in zip(found, alone, strict=True):
        assert np.abs(np.concatenate(pieces) - reference).max() < 1e-5


def test_quiet_speech_is_heard(clips):
    """Speech 40 dB down is found almost as often as at full level; without levelling much of it is lost."""
    pcm = whole(clips[0].pcm)
    quiet = (pcm // 100).astype(np.int16)

    def found(vad, audio):
        return (vad.run([(VadState.new(), audio)])[0][0] > 0.5).mean()

    assert found(VAD, quiet) > 0.9 * found(VAD, pcm)
    assert found(Vad(VadSettings(target=0.0)), quiet) < found(VAD, quiet)


def test_silence_and_noise_are_no_speech():
    """Digital silence and faint hiss stay below the threshold, whatever the levelling does."""
    hiss = np.random.default_rng(5).integers(-20, 20, 100 * VAD_FRAME).astype(np.int16)
    for audio in (np.zeros(100 * VAD_FRAME, dtype=np.int16), hiss):
        assert VAD.run([(VadState.new(), audio)])[0][0].max() < 0.5

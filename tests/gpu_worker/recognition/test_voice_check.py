import numpy as np
import pytest

from gpu_worker.recognition.accounting.voice_check import LOUD_FRAMES, VoiceCheck
from gpu_worker.recognizer import VAD_FRAME

LOUD = np.full(VAD_FRAME, 1000, np.int16)
QUIET = np.full(VAD_FRAME, 100, np.int16)


def heard(*parts) -> VoiceCheck:
    """Return a check that was given (frame, probability, how often)."""
    check = VoiceCheck(0.35)
    for frame, probability, count in parts:
        check.update(np.tile(frame, count), (probability,) * count)
    return check


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([(LOUD, 0.0, LOUD_FRAMES)], True),
        ([(LOUD, 0.0, LOUD_FRAMES - 1)], False),
        ([(QUIET, 0.0, 10 * LOUD_FRAMES)], False),
        ([(LOUD, 0.0, LOUD_FRAMES // 2), (QUIET, 0.0, 2000), (LOUD, 0.0, LOUD_FRAMES // 2 + 1)], True),
        ([(LOUD, 0.9, LOUD_FRAMES // 20), (LOUD, 0.0, LOUD_FRAMES * 19 // 20 + 1)], True),
        ([(LOUD, 0.9, LOUD_FRAMES // 10), (LOUD, 0.0, LOUD_FRAMES * 9 // 10 + 1)], False),
        ([(LOUD, 0.9, 500), (LOUD, 0.0, 500), (LOUD, 0.9, 500)], False),
        ([(LOUD, 0.9, 2000), (LOUD, 0.0, LOUD_FRAMES)], True),
    ],
)
def test_twenty_seconds_of_loud_audio_without_a_voice_are_noticed(parts, told):
    """Quiet audio does not count, nor does a gap in the loud; up to a twentieth may pass for a voice."""
    assert heard(*parts).no_voice == told


def test_the_last_frame_may_be_cut_short():
    """The end of a session is judged like the rest."""
    check = heard((LOUD, 0.0, LOUD_FRAMES - 1))
    check.update(LOUD[:100], (0.0,))
    check.update(LOUD, (0.0,))
    assert check.no_voice

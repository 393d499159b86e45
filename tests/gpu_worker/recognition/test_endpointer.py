from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.recognition.endpointer import Endpointer
from gpu_worker.recognizer import VAD_FRAME
from tests.gpu_worker.recognition.driver import POLICY

LONG = 1 << 40


def new_endpointer(judged_until: int = 0, ignore_before: int = 0) -> Endpointer:
    return Endpointer(judged_until=judged_until, ignore_before=ignore_before, policy=POLICY)


def test_speech_begins_after_enough_frames_in_a_row():
    """One likely frame is no speech; the onset is the first of the row, the window starts a pre-roll before."""
    endpointer = new_endpointer()
    endpointer.update([0.0] * 40 + [0.9, 0.1, 0.9], LONG)
    assert not endpointer.speaking
    endpointer.update([0.6], LONG)
    (utterance,) = endpointer.utterances
    assert utterance.onset == 42 * VAD_FRAME
    assert utterance.start == utterance.onset - POLICY.pre_roll_samples
    assert utterance.last_speech == 44 * VAD_FRAME
    assert utterance.end is None


def test_a_weaker_frame_continues_speech():
    """Inside an utterance the lower threshold counts."""
    endpointer = new_endpointer()
    endpointer.update([0.9] * 5 + [0.1] * 10 + [0.4] + [0.1] * 10, LONG)
    assert endpointer.speaking
    assert endpointer.utterances[0].last_speech == 16 * VAD_FRAME


def test_speech_ends_after_silence():
    """The utterance ends after the silence, its last decode a post-roll after the last frame of speech."""
    endpointer = new_endpointer()
    endpointer.update([0.9] * 5 + [0.1] * 15, LONG)
    assert endpointer.speaking
    endpointer.update([0.1], LONG)
    assert not endpointer.speaking
    assert endpointer.utterances[0].end == 5 * VAD_FRAME + POLICY.post_roll_samples


def test_utterances_queue_in_order():
    """What the stream has not taken yet waits, oldest first."""
    endpointer = new_endpointer()
    endpointer.update(([0.9] * 5 + [0.0] * 20) * 3, LONG)
    assert [utterance.onset for utterance in endpointer.utterances] == [0, 25 * VAD_FRAME, 50 * VAD_FRAME]
    assert all(utterance.end is not None for utterance in endpointer.utterances)


def test_the_last_frame_may_be_cut_short():
    """At the end of the audio a padded frame moves the position only to the end."""
    endpointer = new_endpointer()
    endpointer.update([0.9, 0.9], 700)
    assert endpointer.judged_until == 700


def test_close_ends_speech_at_the_given_position():
    """The end of the audio ends an utterance within its speech; in silence there is nothing to end."""
    endpointer = new_endpointer()
    endpointer.close(0)
    assert not endpointer.utterances
    endpointer.update([0.9] * 5, LONG)
    endpointer.close(5 * VAD_FRAME)
    assert not endpointer.speaking
    assert endpointer.utterances[0].end == 5 * VAD_FRAME


def test_speech_another_worker_has_committed_begins_nothing():
    """Before the position up to which everything is committed, no frame counts towards an onset."""
    endpointer = new_endpointer(10_000, ignore_before=12_000)
    endpointer.update([0.9] * 4, LONG)
    assert not endpointer.utterances
    endpointer.update([0.9] * 2, LONG)
    assert endpointer.utterances[0].onset == 10_000 + 4 * VAD_FRAME


def test_an_endpointer_can_begin_inside_speech():
    """A resumed utterance goes on without an onset and ends like any other."""
    endpointer = new_endpointer(8_000)
    endpointer.resume(start=16_000, last_speech=20_000)
    endpointer.update([0.9] + [0.0] * 38, LONG)
    assert endpointer.speaking
    endpointer.update([0.0], LONG)
    assert endpointer.utterances[0].end == 20_000 + POLICY.post_roll_samples


@given(st.lists(st.sampled_from([0.0, 0.36, 0.6, 0.9]), max_size=200), st.integers(1, 50))
def test_utterances_do_not_depend_on_how_the_audio_is_cut(probabilities, size):
    """Frames judged one by one or many at once give the same utterances, in order, apart from each other."""
    whole, pieces = new_endpointer(), new_endpointer()
    whole.update(probabilities, LONG)
    for first in range(0, len(probabilities), size):
        pieces.update(probabilities[first : first + size], LONG)
    assert whole.utterances == pieces.utterances
    ends = [utterance.end for utterance in whole.utterances]
    assert all(end is not None for end in ends[:-1])
    onsets = [utterance.onset for utterance in whole.utterances]
    assert all(end < onset for end, onset in zip(ends, onsets[1:], strict=False))

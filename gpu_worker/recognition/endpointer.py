"""Core: which part of the audio is speech, from voice-activity probabilities.

The rule is a hysteresis: some frames in a row above one threshold begin an utterance, a frame above a lower one
continues it, and some time without such a frame ends it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_worker.recognition.policy import PolicySettings
from gpu_worker.recognizer import VAD_FRAME


@dataclass(slots=True)
class Utterance:
    """A stretch of speech.

    Attributes:
        onset: where its speech begins.
        start: first sample of its window, the pre-roll before the onset.
        last_speech: end of its last frame of speech so far.
        end: where its last decode ends, once the utterance is over.
    """

    onset: int
    start: int
    last_speech: int
    end: int | None = None


class Endpointer:
    """Turns probabilities into utterances, in order.

    Attributes:
        judged_until: every sample before this position has been judged.
        utterances: the ones not yet taken by the stream; only the last may be without an end.
    """

    def __init__(self, *, judged_until: int, ignore_before: int, policy: PolicySettings) -> None:
        self.judged_until = judged_until
        self.utterances: deque[Utterance] = deque()
        self._ignore_before = ignore_before
        self._policy = policy
        self._likely_frames = 0
        self._current: Utterance | None = None

    @property
    def speaking(self) -> bool:
        """Return True inside an utterance."""
        return self._current is not None

    @property
    def due(self) -> int:
        """Return the position up to which audio must be here to be worth a call of the model.

        A call costs as much for one frame as for eight, so it waits for eight; fewer where they may end the utterance.
        """
        due = self.judged_until + self._policy.vad_min_samples
        if self._current is not None:
            due = min(due, self._current.last_speech + self._policy.end_silence_samples)
        return due

    def resume(self, start: int, last_speech: int) -> None:
        """Begin inside an utterance: its window starts at ``start``, its speech so far ends at ``last_speech``."""
        self._begin(Utterance(onset=start, start=start, last_speech=last_speech))

    def update(self, probabilities: Sequence[float], until: int) -> None:
        """Judge the frames from `judged_until` on; the last one may be cut short by ``until``, the end of the audio."""
        for probability in probabilities:
            start = self.judged_until
            self.judged_until = min(start + VAD_FRAME, until)
            if self._current is None:
                self._await_onset(probability, start)
            else:
                self._await_end(self._current, probability)

    def long_enough(self, at: int) -> int:
        """Return ``at``, or from where on the current utterance can be closed without words being made up."""
        return at if self._current is None else max(at, self._current.onset + self._policy.min_utterance_samples)

    def close(self, at: int) -> None:
        """End the current utterance at ``at``, wherever its speech is."""
        if self._current is not None:
            self._end(self._current, at)

    def _await_onset(self, probability: float, start: int) -> None:
        # Speech that an earlier worker has committed must not begin an utterance again.
        audible = start >= self._ignore_before
        self._likely_frames = (
            self._likely_frames + 1 if audible and probability >= self._policy.speech_probability else 0
        )
        if self._likely_frames >= self._policy.onset_frames:
            onset = start - (self._likely_frames - 1) * VAD_FRAME
            self._begin(Utterance(onset, onset - self._policy.pre_roll_samples, last_speech=self.judged_until))

    def _await_end(self, utterance: Utterance, probability: float) -> None:
        if probability >= self._policy.keep_alive_threshold:
            utterance.last_speech = max(utterance.last_speech, self.judged_until)
        elif self.judged_until - utterance.last_speech >= self._policy.end_silence_samples:
            self._end(utterance, self.judged_until)

    def _begin(self, utterance: Utterance) -> None:
        self._likely_frames = 0
        self._current = utterance
        self.utterances.append(utterance)

    def _end(self, utterance: Utterance, at: int) -> None:
        utterance.end = min(at, utterance.last_speech + self._policy.post_roll_samples)
        self._current = None

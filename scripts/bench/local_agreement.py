"""The usual way to live text, as a baseline: the whole window anew each time, and what two hypotheses agree on (core).

LocalAgreement-2 (Liu et al. 2020; Macháček et al. 2023), trimmed after committed sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from whisper_live_client.audio import SAMPLE_RATE

from scripts.capacity.windows import WindowShape
from shared.messages import Word

from .samples import Sample, Transcription

_OVERLAP_S = 0.1
_REPEATED_WORDS = 5
_PROMPT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of a hypothesis; times are seconds of the window, or of the stream."""

    text: str
    start_s: float
    end_s: float


class LocalAgreement:
    """Commits the longest beginning on which two hypotheses in a row agree.

    A window over ``trim_s`` is cut after its last committed sentence, or word if there is none; of one that is over
    ``most_s`` all the same, all is committed: the model hears no more.
    """

    def __init__(self, trim_s: float = 15.0, most_s: float = 28.0) -> None:
        self.start_s = 0.0
        self.committed: list[HeardWord] = []
        self.tail: list[HeardWord] = []
        self._trim_s = trim_s
        self._most_s = most_s

    @property
    def prompt(self) -> str:
        before = "".join(word.text for word in self.committed if word.end_s <= self.start_s)
        return before[-_PROMPT_CHARACTERS:]

    def take(self, hypothesis: Sequence[HeardWord], now_s: float) -> None:
        """Take the words of the window that ends at ``now_s``."""
        fresh = self._fresh(hypothesis)
        agreed = 0
        for old, new in zip(self.tail, fresh, strict=False):
            if old.text != new.text:
                break
            agreed += 1
        self.committed += fresh[:agreed]
        self.tail = fresh[agreed:]
        self._trim(now_s)

    def finish(self) -> None:
        self.committed += self.tail
        self.tail = []

    def _fresh(self, hypothesis: Sequence[HeardWord]) -> list[HeardWord]:
        """Return the words after the committed ones: later than they, and not their last few once more."""
        until_s = self.committed[-1].end_s if self.committed else 0.0
        fresh = [word for word in hypothesis if word.start_s > until_s - _OVERLAP_S]
        for count in range(min(_REPEATED_WORDS, len(fresh), len(self.committed)), 0, -1):
            near = fresh[0].start_s < until_s + 1.0
            if near and [w.text for w in self.committed[-count:]] == [w.text for w in fresh[:count]]:
                return fresh[count:]
        return fresh

    def _trim(self, now_s: float) -> None:
        if now_s - self.start_s > self._trim_s:
            inside = [word for word in self.committed if word.end_s > self.start_s]
            sentences = [word.end_s for word in inside if word.text.rstrip().endswith((".", "?", "!"))]
            if inside:
                self.start_s = (sentences or [inside[-1].end_s])[-1]
        if now_s - self.start_s > self._most_s:
            self.finish()
            self.start_s = now_s


class WindowModel(Protocol):
    """A model that is given a window, samples from -1 to 1, and the text before it."""

    def hear(self, audio: NDArray[np.float32], prompt: str) -> list[HeardWord] | None:
        """Return the words, in seconds of the window; None where what it says is not to be believed."""


class LocalAgreementRun:
    """A `Run` that hears the window anew each ``period_s``.

    It is given the levelled audio: Whisper wants it, and what it would take to level a live stream is not its cost.
    """

    def __init__(self, model: WindowModel, period_s: float, sample: Sample) -> None:
        self._model = model
        self._period = round(period_s * SAMPLE_RATE)
        self._audio = sample.levelled
        self._heard = 0
        self._arrived = 0
        self._policy = LocalAgreement()
        self._transcription = Transcription(sample.audio_s)

    def bring(self, until: int) -> None:
        self._arrived = min(until, len(self._audio))
        if self._arrived - self._heard >= self._period:
            self._hear()

    def finish(self) -> Transcription:
        if self._arrived > self._heard:
            self._hear()
        self._policy.finish()
        self._show()
        return self._transcription

    def _hear(self) -> None:
        start_s = self._policy.start_s
        self._heard = self._arrived
        window = self._audio[round(start_s * SAMPLE_RATE) : self._arrived]
        found = self._model.hear(window, self._policy.prompt)
        self._transcription.windows.append(WindowShape(len(window), 0, 0, 0, 0))
        if found is not None:
            moved = [HeardWord(word.text, word.start_s + start_s, word.end_s + start_s) for word in found]
            self._policy.take(moved, self._arrived / SAMPLE_RATE)
            self._show()

    def _show(self) -> None:
        for word in self._policy.committed[len(self._transcription.words) :]:
            start, end = round(word.start_s * SAMPLE_RATE), round(word.end_s * SAMPLE_RATE)
            self._transcription.words.append(Word(word.text, start, end, 1.0))
        self._transcription.show(self._arrived / SAMPLE_RATE, "".join(word.text for word in self._policy.tail))

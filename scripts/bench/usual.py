"""The baseline as a contestant: LocalAgreement-2 around a model that hears a whole window at a time (shell)."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.replaying.recordings import SAMPLE_RATE
from scripts.replaying.run import Replay, Update
from shared.messages import Word

from .agreement import HeardWord, LocalAgreement
from .contestant import Course


class Hearing(Protocol):
    """A model that is given samples from -1 to 1 and the text before them."""

    def hear(self, audio: NDArray[np.float32], prompt: str) -> list[HeardWord] | None:
        """Return the words, in seconds from the audio's start; None where what it says is not to be believed."""


class Usual:
    """Hears the window anew each ``period_s``, and commits what two hypotheses in a row agree on.

    It is given the levelled audio: Whisper wants it, and what it would take to level a live stream is not its cost.
    """

    def __init__(self, name: str, hearing: Hearing, period_s: float) -> None:
        self.name = name
        self._hearing = hearing
        self._period = round(period_s * SAMPLE_RATE)
        self._audio = np.zeros(0, np.float32)
        self._heard = 0
        self._here = 0
        self._policy = LocalAgreement()
        self._replay = Replay(0.0)

    def begin(self, course: Course) -> None:
        """Forget the stream before."""
        self._audio = course.levelled
        self._heard = self._here = 0
        self._policy = LocalAgreement()
        self._replay = Replay(len(course.levelled) / SAMPLE_RATE)

    def bring(self, until: int) -> None:
        """Hear the window if it has grown by a period."""
        self._here = min(until, len(self._audio))
        if self._here - self._heard >= self._period:
            self._hear()

    def finish(self) -> Replay:
        """Hear the rest, and commit all of it."""
        if self._here > self._heard:
            self._hear()
        self._policy.finish()
        self._note()
        return self._replay

    def _hear(self) -> None:
        start_s = self._policy.start_s
        self._heard = self._here
        now_s = self._here / SAMPLE_RATE
        found = self._hearing.hear(self._audio[round(start_s * SAMPLE_RATE) : self._here], self._policy.prompt)
        self._replay.decodes += 1
        if found is not None:
            self._policy.take([_moved(word, start_s) for word in found], now_s)
            self._note()

    def _note(self) -> None:
        committed, tail = self._policy.committed, _text(self._policy.tail)
        self._replay.words += [_word(word) for word in committed[len(self._replay.words) :]]
        update = Update(self._here / SAMPLE_RATE, len(committed), tail)
        last = self._replay.updates[-1] if self._replay.updates else None
        if last is None or (last.committed, last.tail) != (update.committed, update.tail):
            self._replay.updates.append(update)


def _moved(word: HeardWord, by_s: float) -> HeardWord:
    return HeardWord(word.text, word.start_s + by_s, word.end_s + by_s)


def _word(word: HeardWord) -> Word:
    return Word(word.text, round(word.start_s * SAMPLE_RATE), round(word.end_s * SAMPLE_RATE), 1.0)


def _text(words: Sequence[HeardWord]) -> str:
    return "".join(word.text for word in words)

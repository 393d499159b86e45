"""Streams to be heard, what takes part in a comparison, and what it makes of a stream (core)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from whisper_live_client.audio import SAMPLE_RATE

from scripts.capacity.windows import WindowShape
from scripts.tools.corpus import Stream
from scripts.tools.offline import levelled
from shared.messages import AudioAccounting, Word


@dataclass(frozen=True, slots=True)
class Sample:
    """One stream, as recorded and with each utterance brought up to one peak (-1 to 1); words with their known ends."""

    clips: tuple[str, ...]
    pcm: NDArray[np.int16]
    levelled: NDArray[np.float32]
    texts: tuple[str, ...]
    words: tuple[tuple[str, float], ...]

    @property
    def audio_s(self) -> float:
        return len(self.pcm) / SAMPLE_RATE


def make_samples(streams: Sequence[Stream]) -> list[Sample]:
    made = []
    for stream in streams:
        pcm = np.frombuffer(b"".join(stream.pieces()), dtype="<i2")
        spoken = stream.spoken()
        words = tuple((word.text, word.end_s) for word in spoken.words if word.end_s is not None)
        made.append(Sample(stream.key, pcm, levelled(stream), spoken.texts, words))
    return made


@dataclass(frozen=True, slots=True)
class Update:
    """What a viewer sees from ``now_s`` (audio time) on: the first ``committed`` words, then the tail."""

    now_s: float
    committed: int
    tail: str


@dataclass(slots=True)
class Transcription:
    """What became of a stream: committed words, what was seen when, each decode; ``held`` is in samples."""

    audio_s: float
    words: list[Word] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    windows: list[WindowShape] = field(default_factory=list)
    language: str | None = None
    accounting: AudioAccounting | None = None
    held: int = 0

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()

    def show(self, now_s: float, tail: str) -> None:
        last = self.updates[-1] if self.updates else None
        if last is None or (last.committed, last.tail) != (len(self.words), tail):
            self.updates.append(Update(now_s, len(self.words), tail))


class Run(Protocol):
    def bring(self, until: int) -> None:
        """Let the audio before sample ``until`` arrive, and do all work that is due."""

    def finish(self) -> Transcription:
        """End the audio, and return what was shown when."""


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    begin: Callable[[Sample], Run]


@dataclass(slots=True)
class Result:
    """What a contestant made of all streams, and the CPU time that it took, also by stage where that is known."""

    name: str
    transcriptions: list[Transcription] = field(default_factory=list)
    cpu_s: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

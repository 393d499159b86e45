"""What takes part in a comparison (core)."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.replaying.recordings import Recording
from scripts.replaying.run import Replay


@dataclass(frozen=True, slots=True)
class Course:
    """One stream to be heard.

    Attributes:
        recording: the audio as it was recorded, and what is said in it.
        levelled: the same with each utterance brought up to one peak; samples from -1 to 1.
        texts: what is said in each utterance.
    """

    recording: Recording
    levelled: NDArray[np.float32]
    texts: tuple[str, ...]


class Contestant(Protocol):
    """A way to turn audio into live text."""

    @property
    def name(self) -> str:
        """Return what it is called in the table."""

    def begin(self, course: Course) -> None:
        """Begin a stream."""

    def bring(self, until: int) -> None:
        """Let the audio before sample ``until`` arrive, and do all work that is due."""

    def finish(self) -> Replay:
        """End the audio, and return what was shown when."""


@dataclass(slots=True)
class Result:
    """What a contestant made of all streams.

    Attributes:
        name: the contestant's.
        replays: what was shown when, stream by stream.
        cpu_s: CPU time of the process while it was at work.
        stages: of it, by stage, where that is known.
    """

    name: str
    replays: list[Replay] = field(default_factory=list)
    cpu_s: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

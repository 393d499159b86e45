"""Where a step's time goes: the model's parts, each timed without the parts it calls (shell)."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch

from gpu_worker.model import step
from gpu_worker.model.cpu.decoder import Decoder
from gpu_worker.model.cpu.encoder import Encoder
from gpu_worker.model.cuda.decoder import DenseBatch, DenseDecoder
from gpu_worker.model.cuda.encoder import DenseEncoder
from gpu_worker.model.mel import Spectrum
from gpu_worker.model.nn.vocabulary import Vocabulary
from gpu_worker.model.vad import Vad

Part = tuple[type | ModuleType, str, str]
"""A class or module, the name of its function, and the stage that it is."""

_PARTS: tuple[Part, ...] = (
    (Vad, "run", "VAD"),
    (Spectrum, "raws", "mel"),
    (Encoder, "encode", "encoder"),
    (Encoder, "encode_on", "encoder"),
    (DenseEncoder, "encode", "encoder"),
    (Decoder, "forward", "decoder"),
    # Nothing that these call may be timed: what is recorded for CUDA cannot be waited for half-way.
    (DenseDecoder, "begin", "decoder"),
    (DenseBatch, "forward", "decoder"),
    (DenseBatch, "choose_next", "decoder"),
    (Vocabulary, "choose", "vocabulary"),
    (Vocabulary, "no_speech", "vocabulary"),
    (step, "boundaries", "alignment"),
    (step, "timed_words", "alignment"),
)

STAGES = (*dict.fromkeys(stage for _, _, stage in _PARTS), "the rest")

Clock = Callable[[], float]


def clock_of(device: str) -> Clock:
    """Return what times work: CPU time of the process, or, on CUDA, wall time after all that was queued is done."""
    if torch.device(device).type != "cuda":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


class Stages:
    """Adds up the time of each part into ``spent``, which may be exchanged between two calls."""

    def __init__(self, clock: Clock) -> None:
        self.spent: dict[str, float] = {}
        self.clock = clock
        self._inner: list[float] = []

    @contextmanager
    def watching(self, more: Sequence[Part] = ()) -> Iterator["Stages"]:
        """Time the parts of every model in this process, and ``more``."""
        originals = [(owner, name, getattr(owner, name), stage) for owner, name, stage in (*_PARTS, *more)]
        for owner, name, original, stage in originals:
            setattr(owner, name, self._timed(original, stage))
        try:
            yield self
        finally:
            for owner, name, original, _ in originals:
                setattr(owner, name, original)

    def _timed(self, original: Callable[..., object], stage: str) -> Callable[..., object]:
        @functools.wraps(original)
        def timed(*args: object, **kwargs: object) -> object:
            self._inner.append(0.0)
            began = self.clock()
            try:
                return original(*args, **kwargs)
            finally:
                whole = self.clock() - began
                self.spent[stage] = self.spent.get(stage, 0.0) + whole - self._inner.pop()
                if self._inner:
                    self._inner[-1] += whole

        return timed

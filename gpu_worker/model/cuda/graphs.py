"""CUDA graphs: a pass over fixed shapes is recorded once, and from then on started as a whole.

A decoder's pass over one token a row is hundreds of small kernels, and starting each takes longer than it runs.
Recorded, they are one start. What is recorded reads and writes fixed memory: inputs are copied to where the recorded
pass expects them, and its outputs are overwritten by the next one of its key.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from shared import logs

log = logs.get("gpu_worker")

Work = Callable[..., Tensor]
"""Tensors in, one tensor out; the same kernels for the same shapes, and nothing that waits for the device."""

Key = tuple[str, Hashable]
"""A pass's name, and whatever else distinguishes it, such as shapes."""

MOST = 128
"""The most passes that are kept; beyond it the least recently used one is dropped."""


Recording = Callable[[Sequence[Tensor]], Tensor]
"""Starts a pass again on other values of the same shapes; the answer is overwritten by the next call."""

Recorder = Callable[[Work, Sequence[Tensor]], Recording]


class Graphs:
    """Passes by key. A key stands for one function on the same memory and inputs of the same shapes.

    The first pass of a key runs unrecorded, since what it initialises cannot be initialised during a recording; the
    second is recorded.

    Args:
        record: how; None where there is nothing to record with, and every pass just runs.
        most: the most passes that are kept.
    """

    def __init__(self, record: Recorder | None, most: int = MOST) -> None:
        self._record = record
        self._most = most
        self._known: OrderedDict[Key, Recording | None] = OrderedDict()

    @classmethod
    def on(cls, device: torch.device) -> "Graphs":
        """Return an instance for a device: one that records on CUDA, and only runs elsewhere."""
        return cls(CudaRecorder(device) if device.type == "cuda" else None)

    @property
    def recorded(self) -> int:
        """Return how many passes are recorded."""
        return sum(known is not None for known in self._known.values())

    def run(self, key: Key, work: Work, inputs: Sequence[Tensor]) -> Tensor:
        """Run ``work`` on tensors of the device; the next pass of any key may overwrite what it returns."""
        if self._record is None:
            return work(*inputs)
        if key not in self._known:
            self._remember(key, None)
            return work(*inputs)
        self._known.move_to_end(key)
        recording = self._known[key]
        if recording is None:
            try:
                recording = self._record(work, inputs)
            except RuntimeError as error:  # a kernel that cannot be recorded, or no memory: it runs all the same
                log.warning("a pass was not recorded", event_id="graph_failed", key=str(key), reason=str(error))
                self._record = None
                return work(*inputs)
            self._known[key] = recording
        return recording(inputs)

    def forget(self, name: str) -> None:
        """Drop the recordings of a name: the memory that they use is about to go."""
        for key in [key for key in self._known if key[0] == name]:
            del self._known[key]

    def _remember(self, key: Key, recording: Recording | None) -> None:
        self._known[key] = recording
        while len(self._known) > self._most:
            self._known.popitem(last=False)


_BROKEN: list[torch.cuda.CUDAGraph] = []
"""Recordings that failed, never freed: torch's allocator goes on asking them whether memory is for them."""


class CudaRecorder:
    """Records with CUDA.

    Recordings run one after another and none reads another's results, so they share one pool of memory: a result may be
    overwritten by the next recording, whichever that is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work, inputs: Sequence[Tensor]) -> Recording:
        """Record work over copies of ``inputs``."""
        own_inputs = [each.clone() for each in inputs]
        graph = torch.cuda.CUDAGraph()
        try:
            answer = self._recorded(graph, work, own_inputs)
        except RuntimeError:
            _BROKEN.append(graph)
            raise

        def replay(values: Sequence[Tensor]) -> Tensor:
            for target, value in zip(own_inputs, values, strict=True):
                target.copy_(value, non_blocking=True)
            graph.replay()
            return answer

        return replay

    def _recorded(self, graph: torch.cuda.CUDAGraph, work: Work, inputs: Sequence[Tensor]) -> Tensor:
        # Other threads may ask the driver for things while this one records: only its own calls count. The outer
        # stream is for what fails: torch then leaves its own stream for recording the current one.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            return work(*inputs)

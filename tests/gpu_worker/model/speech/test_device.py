"""What CUDA would not forgive, found without it: the dense way on a device that has shapes and no values.

torch's meta device answers every operation with a shape. So whatever asks for a value, or mixes what lies on the host
with what lies on the device, is found; and inside a recorded pass whatever brings anything from the host.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gpu_worker.model.cuda.alignment import _paths
from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.network import Network
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.decoder_api import DecodeSlot, TokenSpan
from gpu_worker.model.nn.linear import Precision
from gpu_worker.model.nn.pinned_copy import to_device

META = torch.device("meta")
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal.default")
"""Operations whose result, or its shape, is not known before the device has done all its work."""


class Watch(TorchDispatchMode):
    """Raises at what a device would have to wait for; in a recorded pass also at what comes from the host."""

    def __init__(self, *, recorded=False):
        super().__init__()
        self._recorded = recorded

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        assert len({each.device.type for each in given}) <= 1, f"{func} mixes host and device"
        assert not any(name in str(func) for name in WAITS), f"{func} waits"
        assert not (self._recorded and "lift_fresh" in str(func)), f"{func} brings values from the host"
        return func(*args, **(kwargs or {}))


class Watched:
    """A recorder that looks at the pass instead."""

    def __init__(self):
        self.passes = 0

    def __call__(self, work, inputs):
        self.passes += 1
        with Watch(recorded=True):
            work(*inputs)
        return lambda values: work(*values)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["bf16", "fp16", "fp32"])
def test_nothing_waits_for_the_device_or_mixes_with_the_host(random_weights, kind):
    """Samples to hidden states, scores, attentions and word times stay on the device, recorded passes from start to end."""
    _, weights = random_weights()
    recorder = Watched()
    network = Network.build(
        weights.state, weights.dims, name=None, precision=Precision(kind, kind, kind), device=META,
        settings=EncoderSettings(), dense=True, graphs=Graphs(recorder),
    )  # fmt: skip
    pcm = np.ones(80_000, dtype=np.int16)
    with Watch():
        for _ in range(2):
            mels = network.spectrum.raws([(pcm, 0), (pcm[:30_000], 640)])
            network.encoder.encode(mels, full=True)
            encodings = network.encoder.encode(mels)
            batch = network.decoder.begin([DecodeSlot(encoding, 60, 2) for encoding in encodings])
            hidden = batch.forward([TokenSpan(0, 0, 12), TokenSpan(1, 0, 7)], list(range(19)))
            network.decoder.score_next(batch._buffers, to_device(np.zeros((3, 2), dtype=np.int64), META))
            network.decoder.vocabulary.score(hidden, [0, 12])
            network.decoder.vocabulary.languages(hidden)
            attentions = [batch.attention(0, 5), batch.attention(1, 3)]
            assert _paths(attentions, [4, 3]).device == META
    assert hidden.shape == (19, weights.dims.n_text_state)
    assert recorder.passes == 3


def test_the_watch_sees_what_it_is_for():
    """A value that is asked for, an index from the host and a constant in a recorded pass are found."""
    one = torch.ones(3, device=META)
    with pytest.raises(AssertionError, match="waits"), Watch():
        torch.ones(3).nonzero()
    with pytest.raises(AssertionError, match="mixes"), Watch():
        one[torch.tensor([1])]
    with pytest.raises(AssertionError, match="from the host"), Watch(recorded=True):
        torch.tensor([1.0])

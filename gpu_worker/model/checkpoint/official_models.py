"""The addresses and alignment heads of official models: the only module that uses whisper's private names.

Whisper has no public way to the addresses, and sets alignment heads only on a model that it has loaded itself.
"""

import base64
import gzip

import numpy as np
import whisper
from whisper.model import ModelDimensions

ADDRESSES: dict[str, str] = dict(whisper._MODELS)  # noqa: SLF001
"""Official names and the address of each model's file; an address ends in the file's sha256 and its name."""


def alignment_heads(name: str | None, dims: ModelDimensions) -> list[tuple[int, int]]:
    """Return (layer, head) of the heads that follow the audio word by word.

    Whisper knows them by model name; for other weights it takes every head of the later half of the layers.
    """
    dump = whisper._ALIGNMENT_HEADS.get(name)  # noqa: SLF001
    if dump is None:
        return [(i, j) for i in range(dims.n_text_layer // 2, dims.n_text_layer) for j in range(dims.n_text_head)]
    chosen = np.frombuffer(gzip.decompress(base64.b85decode(dump)), dtype=bool)
    layers, heads = np.nonzero(chosen.reshape(dims.n_text_layer, dims.n_text_head))
    return list(zip(layers.tolist(), heads.tolist(), strict=True))

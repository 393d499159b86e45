"""One model's device copy: everything that a load brings and an unload takes away."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions

from gpu_worker.model.blocks import State
from gpu_worker.model.columns import EncoderSettings, Encoding
from gpu_worker.model.decoder import Decoder, Span
from gpu_worker.model.encoder import Encoder
from gpu_worker.model.linear import Precision
from gpu_worker.model.mel import Spectrum
from gpu_worker.model.tokens import Tokens
from gpu_worker.model.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Network:
    """Spectrum, encoder and decoder of one model, on one device."""

    spectrum: Spectrum
    encoder: Encoder
    decoder: Decoder

    @classmethod
    def build(
        cls,
        state: State,
        dims: ModelDimensions,
        *,
        name: str | None,
        precision: Precision,
        device: torch.device,
        settings: EncoderSettings,
        batched: bool | None = None,
    ) -> "Network":
        """Prepare a checkpoint; ``name`` is its official one, which tells the heads that know word times.

        Windows are encoded as one batch on CUDA, unless ``batched`` says otherwise.
        """
        tokens = Tokens(dims.n_vocab)
        vocabulary = Vocabulary(state, tokens, precision, device)
        heads = alignment_heads(name, dims)
        return cls(
            Spectrum(dims.n_mels, device),
            Encoder(
                state,
                dims,
                precision,
                device,
                settings=settings,
                batched=device.type == "cuda" if batched is None else batched,
            ),
            Decoder(state, dims, precision, device, vocabulary=vocabulary, alignment_heads=heads),
        )

    @property
    def tokens(self) -> Tokens:
        """The model's vocabulary."""
        return self.decoder.vocabulary.tokens

    def detect(self, encodings: Sequence[Encoding]) -> list[str]:
        """Return the likeliest language of each window."""
        if not self.tokens.multilingual:
            return ["en"] * len(encodings)
        if not encodings:
            return []
        cache = self.decoder.cache(len(encodings), 1)
        # One token a row; its attention is noted nowhere, since the first noted token would be the second.
        spans = [
            Span(i, 0, 1, e, torch.empty(self.decoder.trace_heads, 0, e.frames), 1) for i, e in enumerate(encodings)
        ]
        hidden = self.decoder.forward([self.tokens.sot] * len(encodings), spans, cache)
        best = self.decoder.vocabulary.languages(hidden).argmax(-1)
        return [self.tokens.languages[i] for i in best.tolist()]


def alignment_heads(name: str | None, dims: ModelDimensions) -> list[tuple[int, int]]:
    """Return (layer, head) of the heads that follow the audio word by word.

    Whisper knows them by model name; for other weights it takes every head of the later half of the layers.
    """
    dump = whisper._ALIGNMENT_HEADS.get(name)  # noqa: SLF001 - whisper sets them only when it loads a model by name
    if dump is None:
        return [(i, j) for i in range(dims.n_text_layer // 2, dims.n_text_layer) for j in range(dims.n_text_head)]
    chosen = np.frombuffer(gzip.decompress(base64.b85decode(dump)), dtype=bool)
    layers, heads = np.nonzero(chosen.reshape(dims.n_text_layer, dims.n_text_head))
    return list(zip(layers.tolist(), heads.tolist(), strict=True))

"""One model on its device: what a load builds and an unload drops."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from whisper.model import ModelDimensions

from gpu_worker.model.checkpoint.official_models import alignment_heads
from gpu_worker.model.cpu.decoder import Decoder
from gpu_worker.model.cpu.encoder import Encoder
from gpu_worker.model.cuda.decoder import DenseDecoder
from gpu_worker.model.cuda.encoder import DenseEncoder
from gpu_worker.model.cuda.graphs import Graphs
from gpu_worker.model.mel import Spectrum
from gpu_worker.model.nn.blocks import State
from gpu_worker.model.nn.compaction import EncoderSettings, Encoding
from gpu_worker.model.nn.decoder_api import DecodeSlot, TextDecoder, TokenSpan
from gpu_worker.model.nn.layers import AudioLayers, TextLayers
from gpu_worker.model.nn.linear import Precision, dtype_of
from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.model.nn.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Network:
    """Spectrum, encoder and decoder of one model, on one device."""

    spectrum: Spectrum
    encoder: Encoder | DenseEncoder
    decoder: TextDecoder

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
        dense: bool | None = None,
        graphs: Graphs | None = None,
    ) -> "Network":
        """Prepare a checkpoint; its official ``name`` tells which heads align words with the audio.

        All windows of a step are computed as one on CUDA and one after another on a CPU, unless ``dense`` says
        otherwise; what is recorded for CUDA goes to ``graphs``.
        """
        vocabulary = Vocabulary(state, Tokens(dims.n_vocab), precision, device)
        audio = AudioLayers.build(state, dims, precision, device)
        text = TextLayers.build(state, dims, precision, device, alignment_heads(name, dims))
        if device.type == "cuda":
            # torch prefers it on Hopper, and it builds a plan for each new shape, in tenths of a second.
            torch.backends.cuda.enable_cudnn_sdp(enabled=False)
        if device.type == "cuda" if dense is None else dense:
            graphs = graphs or Graphs.on(device)
            return cls(
                Spectrum(dims.n_mels, device, together=True),
                DenseEncoder(audio, device, settings, graphs),
                DenseDecoder(text, vocabulary, dtype_of(precision.decoder), device, graphs),
            )
        return cls(
            Spectrum(dims.n_mels, device, together=False),
            Encoder(audio, device, settings),
            Decoder(text, vocabulary, device),
        )

    @property
    def tokens(self) -> Tokens:
        return self.decoder.vocabulary.tokens

    def detect(self, encodings: Sequence[Encoding]) -> list[str]:
        """Return the likeliest language of each window."""
        if not self.tokens.multilingual:
            return ["en"] * len(encodings)
        if not encodings:
            return []
        # One token a row, whose attention is not recorded: skip=1.
        batch = self.decoder.begin([DecodeSlot(encoding, max_tokens=1, skip=1) for encoding in encodings])
        spans = [TokenSpan(row, past=0, count=1) for row in range(len(encodings))]
        hidden = batch.forward(spans, [self.tokens.sot] * len(encodings))
        best = self.decoder.vocabulary.languages(hidden).argmax(-1)
        return [self.tokens.languages[i] for i in best.tolist()]

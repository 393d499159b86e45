"""The plain model, openai-whisper's own, that hears one window (door: torch, whisper)."""

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from whisper.audio import HOP_LENGTH, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.model import disable_sdpa
from whisper.tokenizer import get_tokenizer

from gpu_worker.model.alignment import token_boundaries
from gpu_worker.model.checkpoint import locate
from gpu_worker.model.checkpoint.official_models import alignment_heads
from scripts.capacity.stages import Part

from .local_agreement import HeardWord

_FRAME_S = 0.02
_LOOP_RATIO = 2.4
_NO_SPEECH = 0.6
_NO_SPEECH_LOGPROB = -1.0


class PlainWhisper:
    """Hears one window, padded to 30 s, in fp32: one encode, one greedy decode, one pass for the words' times.

    As good as it is made usually, and better: whisper itself encodes a second time for the times.
    """

    def __init__(self, model: str, language: str | None) -> None:
        file = locate.locate(model, cache_dir=locate.default_cache_dir())
        self._model = whisper.load_model(str(file), device="cpu").float().eval()
        multilingual = self._model.is_multilingual
        self._language = language if multilingual else "en"
        self._tokenizer = get_tokenizer(
            multilingual, num_languages=self._model.num_languages, language=self._language, task="transcribe"
        )
        self._heads = sorted(alignment_heads(locate.official_name(model, file), self._model.dims))

    @torch.inference_mode()
    def hear(self, audio: NDArray[np.float32], prompt: str) -> list[HeardWord] | None:
        features = self.encode(self.spectrum(audio))
        said = self.decode(features, prompt)
        if said.compression_ratio > _LOOP_RATIO:
            return None
        if said.no_speech_prob > _NO_SPEECH and said.avg_logprob < _NO_SPEECH_LOGPROB:
            return []
        return self.timed([token for token in said.tokens if token < self._tokenizer.eot], features, len(audio))

    @torch.inference_mode()
    def place(self, text: str, audio: NDArray[np.float32]) -> list[HeardWord]:
        """Find where each word of a known text is said in a window."""
        tokens = self._tokenizer.encode(" " + text.strip())
        return self.timed(tokens, self.encode(self.spectrum(audio)), len(audio))

    def spectrum(self, audio: NDArray[np.float32]) -> torch.Tensor:
        mel: torch.Tensor = log_mel_spectrogram(pad_or_trim(audio, N_SAMPLES), self._model.dims.n_mels)
        return mel

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._model.encoder(mel[None])
        return features

    def decode(self, features: torch.Tensor, prompt: str) -> whisper.DecodingResult:
        options = whisper.DecodingOptions(
            temperature=0.0, language=self._language, without_timestamps=True, fp16=False, prompt=prompt or None
        )
        return whisper.decode(self._model, features, options)[0]

    def timed(self, tokens: list[int], features: torch.Tensor, samples: int) -> list[HeardWord]:
        if not tokens:
            return []
        frames = max(1, min(samples, N_SAMPLES) // (2 * HOP_LENGTH))
        bounds = token_boundaries(self._attention(tokens, features)[..., :frames].softmax(-1), len(tokens))
        texts, parts = self._tokenizer.split_to_word_tokens(tokens)
        words, at = [], 0
        for text, part in zip(texts, parts, strict=True):
            start, at = at, at + len(part)
            words.append(HeardWord(text, bounds[start] * _FRAME_S, bounds[at] * _FRAME_S))
        return words

    def _attention(self, tokens: list[int], features: torch.Tensor) -> torch.Tensor:
        """Return the alignment heads' attention logits, (heads, tokens + 1, frames)."""
        seen: dict[int, torch.Tensor] = {}
        start = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        hooks = [
            self._model.decoder.blocks[layer].cross_attn.register_forward_hook(
                lambda _module, _given, out, layer=layer: seen.__setitem__(layer, out[1][0])
            )
            for layer in {layer for layer, _ in self._heads}
        ]
        try:
            with disable_sdpa():
                self._model.decoder(torch.tensor([[*start, *tokens]]), features)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack([seen[layer][head] for layer, head in self._heads])[:, len(start) - 1 :]


PLAIN_PARTS: tuple[Part, ...] = (
    (PlainWhisper, "spectrum", "mel"),
    (PlainWhisper, "encode", "encoder"),
    (PlainWhisper, "decode", "decoder"),
    (PlainWhisper, "timed", "alignment"),
)
"""The stages of the plain model; the vocabulary is part of its decoder."""

"""Weights made up for any official model's size, which say a text of known length (door: torch, whisper).

Random weights would babble on and loop. Here the decoder's positions outweigh everything else and each spells one
token, the last one the end of text. So a decode finds as many tokens as it is meant to, and costs what one with real
weights of this size and these numbers of tokens would.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from whisper.model import AudioEncoder, ModelDimensions, TextDecoder

from gpu_worker.model.nn.tokens import Tokens
from gpu_worker.model.recognizer import Weights
from gpu_worker.model.step import DecodeSettings
from gpu_worker.recognizer import FRAME, Pcm, WindowRequest

from .windows import WindowShape

# width, heads, layers of the encoder, layers of the decoder; as openai published them
_SIZES = {
    "tiny": (384, 6, 4, 4),
    "base": (512, 8, 6, 6),
    "small": (768, 12, 12, 12),
    "medium": (1024, 16, 24, 24),
    "large": (1280, 20, 32, 32),
    "turbo": (1280, 20, 32, 4),
}
_POSITION_SCALE = 4.0  # how much more a position says than the token there
_LAYER_SCALE = 0.02  # how much a layer adds to what is said


def dimensions(name: str) -> ModelDimensions:
    """Return the sizes of an official model; ValueError if there is none of this name."""
    plain = name.removesuffix(".en")
    size = "turbo" if plain.endswith("turbo") else plain.split("-")[0]
    if size not in _SIZES:
        raise ValueError(f"no official model is called {name!r}; sizes are {', '.join(_SIZES)}")
    width, heads, layers, text_layers = _SIZES[size]
    third = plain in {"large", "large-v3"} or size == "turbo"
    vocabulary = 51864 if name.endswith(".en") else 51866 if third else 51865
    # Mels; context, width, heads and layers of the encoder; vocabulary; the same four of the decoder.
    encoder, decoder = (1500, width, heads, layers), (448, width, heads, text_layers)
    return ModelDimensions(128 if third else 80, *encoder, vocabulary, *decoder)


class SyntheticModel:
    """A model of a size that says ``length`` tokens after its start, whatever it hears."""

    def __init__(self, name: str, length: int) -> None:
        self.dims = dimensions(name)
        tokens = Tokens(self.dims.n_vocab)
        never = {*tokens.suppressed, *tokens.not_first}
        self.text = [token for token in range(1000, 20_000, 7) if not {token, token + 1} & never][:length]
        self._start = len(tokens.start("en", "transcribe", ())[0])
        self._eot = tokens.eot
        self._generator = torch.Generator().manual_seed(0)
        self.weights = Weights(f"made-up {name}", name, Path("made-up"), self.dims, self._state())
        # Bounds that no text of this model meets.
        self.settings = DecodeSettings(spare_tokens=2 * length + 10)

    def request(self, key: int, what: WindowShape, audio: Pcm) -> WindowRequest:
        """Return a window that takes ``what``: of the text, all is committed but what it is to find."""
        committed = len(self.text) - what.found
        good = self.text[committed : committed + what.accepted]
        wrong = [token + 1 for token in (self.text * 2)[: what.drafted - what.accepted]]
        return WindowRequest(
            key=key,
            pcm=audio[: what.samples],
            start=key * FRAME,
            context=0,
            language="en",
            task="transcribe",
            prompt=(),
            committed=tuple(self.text[:committed]),
            draft=(*good, *wrong),
            reuse=False,
        )

    def _state(self) -> dict[str, Tensor]:
        d = self.dims
        with torch.device("meta"):
            parts = {
                "encoder": AudioEncoder(d.n_mels, d.n_audio_ctx, d.n_audio_state, d.n_audio_head, d.n_audio_layer),
                "decoder": TextDecoder(d.n_vocab, d.n_text_ctx, d.n_text_state, d.n_text_head, d.n_text_layer),
            }
        named = {f"{part}.{name}": each for part, model in parts.items() for name, each in model.state_dict().items()}
        state = {name: self._values(name, each.shape) for name, each in named.items()}
        embedding = state["decoder.token_embedding.weight"]
        said = [*self.text, self._eot]
        first = self._start - 1
        state["decoder.positional_embedding"][first : first + len(said)] = _POSITION_SCALE * embedding[said]
        return state

    def _values(self, name: str, shape: Sequence[int]) -> Tensor:
        values: Tensor = torch.randn(*shape, generator=self._generator, dtype=torch.float32)
        if len(shape) == 1:
            gain = 1.0 if name.endswith("weight") else 0.0  # of a normalisation; the others are biases
            return (gain + 0.01 * values).half()
        quiet = name.startswith("decoder.blocks") and name.endswith(("out.weight", "mlp.2.weight"))
        scale = _LAYER_SCALE if quiet else 1.0
        return values.mul_(scale / int(np.prod(shape[1:])) ** 0.5).half()


def length_for(shapes: Sequence[WindowShape]) -> int:
    """Return how long a text must be: as on average, and no shorter than what one window finds."""
    mean = sum(each.committed + each.found for each in shapes) / len(shapes)
    return max(round(mean), *(each.found for each in shapes))


def noise(seconds: float) -> Pcm:
    return (np.random.default_rng(0).standard_normal(round(seconds * 16_000)) * 1000).astype(np.int16)

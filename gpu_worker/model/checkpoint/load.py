"""Load a Whisper checkpoint, memory-mapped, and say exactly what is wrong with a file that is not one."""

import dataclasses
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from whisper.model import ModelDimensions

from shared.errors import ModelUnavailableError

# Far above any Whisper there is: wrong dims must be named before they cost memory.
_MAX_DIMENSION = 1_000_000
_MAX_LAYERS = 512
# What openai-whisper's audio front end and tokenizer need; text of another vocabulary cannot be read back.
_N_MELS = (80, 128)
_N_AUDIO_CTX = 1500
_MIN_VOCAB = 51864
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
# What torch.load raises on bytes that are no checkpoint, besides pickle's own error.
_LOAD_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ImportError,
)


def load_checkpoint(path: Path) -> tuple[ModelDimensions, dict[str, torch.Tensor]]:
    """Load a checkpoint's dimensions and tensors, in the type they have on disk, memory-mapped.

    Processes that load the same file share its pages. Older files that torch cannot map are read instead.

    Raises:
        ModelUnavailableError: It cannot be read, is no Whisper checkpoint, or a tensor is missing, of a wrong
            shape, unknown or not finite; the message names it.
    """
    checkpoint = _read(path)
    if not isinstance(checkpoint, Mapping) or not {"dims", "model_state_dict"} <= checkpoint.keys():
        raise ModelUnavailableError(f"{path} is not a Whisper checkpoint: it has no 'dims' and 'model_state_dict'")
    try:
        dims = _checked_dims(checkpoint["dims"])
        state = _checked_state(checkpoint["model_state_dict"], expected_shapes(dims))
    except ModelUnavailableError as error:
        raise ModelUnavailableError(f"{path} is not a usable Whisper checkpoint: {error}") from None
    return dims, state


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise ModelUnavailableError(f"{path} cannot be read: {error.strerror or error}") from error
    except _LOAD_ERRORS as error:
        # torch explains itself in paragraphs, which stay in the cause.
        raise ModelUnavailableError(f"{path} is not a Whisper checkpoint: torch cannot load it") from error


def _checked_dims(dims: object) -> ModelDimensions:
    names = [field.name for field in dataclasses.fields(ModelDimensions)]
    if not isinstance(dims, Mapping) or set(dims) != set(names):
        raise ModelUnavailableError(f"its dims are not {', '.join(names)}")
    for name in names:
        bound = _MAX_LAYERS if name.endswith("_layer") else _MAX_DIMENSION
        value = dims[name]
        if not isinstance(value, int) or not 0 < value <= bound:
            raise ModelUnavailableError(f"its {name} is {value!r}")
    for side in ("audio", "text"):
        if dims[f"n_{side}_state"] % dims[f"n_{side}_head"]:
            raise ModelUnavailableError(f"its n_{side}_state cannot be shared by its n_{side}_head")
    if dims["n_mels"] not in _N_MELS or dims["n_audio_ctx"] != _N_AUDIO_CTX:
        raise ModelUnavailableError(
            f"its n_mels is {dims['n_mels']} and its n_audio_ctx {dims['n_audio_ctx']};"
            f" Whisper's audio has {' or '.join(map(str, _N_MELS))} and {_N_AUDIO_CTX}"
        )
    if dims["n_vocab"] < _MIN_VOCAB:
        raise ModelUnavailableError(f"its n_vocab is {dims['n_vocab']}; Whisper's tokens are {_MIN_VOCAB} at least")
    if dims["n_audio_state"] != dims["n_text_state"]:
        raise ModelUnavailableError("its n_audio_state is not its n_text_state, so its decoder cannot hear its encoder")
    return ModelDimensions(**dims)


def _checked_state(state: object, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    if not isinstance(state, Mapping):
        raise ModelUnavailableError("its model_state_dict is no mapping")
    missing = [name for name in shapes if name not in state]
    if missing:
        raise ModelUnavailableError(f"{len(missing)} of {len(shapes)} tensors are missing, {missing[0]} first")
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise ModelUnavailableError(f"it has {len(unknown)} tensors Whisper has not, {unknown[0]!r} first")
    for name, shape in shapes.items():
        _check_tensor(name, state[name], shape)
    return {name: state[name] for name in shapes}


def _check_tensor(name: str, tensor: object, shape: tuple[int, ...]) -> None:
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.dtype not in _FLOATS:
        raise ModelUnavailableError(f"{name} is no tensor of floating-point numbers")
    if tuple(tensor.shape) != shape:
        raise ModelUnavailableError(f"{name} has shape {tuple(tensor.shape)}, not {shape}")
    # One pass without a temporary: a NaN is propagated, an infinity is an extreme. (tiny.en: 70 ms on one core.)
    least, greatest = torch.aminmax(tensor)
    if not math.isfinite(least.item()) or not math.isfinite(greatest.item()):
        raise ModelUnavailableError(f"{name} holds values that are not finite")


def expected_shapes(dims: ModelDimensions) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a Whisper model of `dims` has."""
    audio, text = dims.n_audio_state, dims.n_text_state
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.conv1.weight": (audio, dims.n_mels, 3),
        "encoder.conv1.bias": (audio,),
        "encoder.conv2.weight": (audio, audio, 3),
        "encoder.conv2.bias": (audio,),
        "encoder.positional_embedding": (dims.n_audio_ctx, audio),
        **_norm("encoder.ln_post", audio),
        "decoder.token_embedding.weight": (dims.n_vocab, text),
        "decoder.positional_embedding": (dims.n_text_ctx, text),
        **_norm("decoder.ln", text),
    }
    for layer in range(dims.n_audio_layer):
        shapes |= _block(f"encoder.blocks.{layer}", audio, crosses=False)
    for layer in range(dims.n_text_layer):
        shapes |= _block(f"decoder.blocks.{layer}", text, crosses=True)
    return shapes


def _block(prefix: str, width: int, *, crosses: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for attention in ("attn", "cross_attn") if crosses else ("attn",):
        for part in ("query", "key", "value", "out"):
            shapes[f"{prefix}.{attention}.{part}.weight"] = (width, width)
            if part != "key":
                shapes[f"{prefix}.{attention}.{part}.bias"] = (width,)
        shapes |= _norm(f"{prefix}.{attention}_ln", width)
    shapes |= {
        f"{prefix}.mlp.0.weight": (4 * width, width),
        f"{prefix}.mlp.0.bias": (4 * width,),
        f"{prefix}.mlp.2.weight": (width, 4 * width),
        f"{prefix}.mlp.2.bias": (width,),
    }
    return shapes | _norm(f"{prefix}.mlp_ln", width)


def _norm(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (width,), f"{prefix}.bias": (width,)}

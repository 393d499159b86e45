"""Read CTranslate2's binary Whisper models and map them to openai-whisper's checkpoint, bit for bit."""

import struct
from dataclasses import dataclass

import torch

from shared.errors import ModelUnavailableError

# CTranslate2's `DataType`, in its order.
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
_SPEC = "WhisperSpec"
_BINARY_VERSIONS = (5, 6)
_MAX_VARIABLES = 100_000
_MAX_RANK = 8

# CTranslate2's name inside one layer → openai-whisper's names; several where CTranslate2 stacks the rows of several.
_LINEARS = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
}
_NORMS = {"self_attention/layer_norm": "attn_ln", "attention/layer_norm": "cross_attn_ln", "ffn/layer_norm": "mlp_ln"}
_OUTER = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}
# Scalars that say how CTranslate2 computes; another value would mean that the weights are not Whisper's.
_SETTINGS = {
    "decoder/activation": 3,  # GELU, the exact one
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/alibi": 0,
    "decoder/start_from_zero_embedding": 0,
}
# Values that change nothing in the weights.
_IGNORED = {
    "decoder/alibi_use_positive_positions",
    "decoder/alignment_heads",
    "decoder/alignment_layer",
    "decoder/scale_alibi",
}
_PROJECTION, _EMBEDDINGS = "decoder/projection/weight", "decoder/embeddings/weight"


@dataclass(frozen=True, slots=True)
class BinaryModel:
    """The contents of a model.bin: its variables by name, and the aliases of names."""

    variables: dict[str, torch.Tensor]
    aliases: dict[str, str]


class _Reader:
    """Walk a buffer of little-endian fields; every read is checked against its end."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._at_bytes = 0

    def take(self, size_bytes: int) -> int:
        """Pass over `size_bytes` and return where they start."""
        start = self._at_bytes
        if size_bytes > len(self._buffer) - start:
            raise ModelUnavailableError(f"model.bin is cut short: {len(self._buffer)} bytes, more were announced")
        self._at_bytes += size_bytes
        return start

    def number(self, code: str) -> int:
        """Read one unsigned number of `struct` format `code`."""
        form = struct.Struct(f"<{code}")
        value: int = form.unpack_from(self._buffer, self.take(form.size))[0]
        return value

    def text(self) -> str:
        """Read a string: its length as uint16, then its bytes, a NUL among them."""
        size_bytes = self.number("H")
        start = self.take(size_bytes)
        try:
            return self._buffer[start : start + size_bytes].rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise ModelUnavailableError("model.bin holds a name that is not UTF-8") from error

    def tensor(self) -> torch.Tensor:
        """Read a variable's shape, type and values; the tensor shares the buffer's memory."""
        rank = self.number("B")
        if rank > _MAX_RANK:
            raise ModelUnavailableError(f"model.bin holds a variable of {rank} dimensions")
        shape = [self.number("I") for _ in range(rank)]
        code = self.number("B")
        size_bytes = self.number("I")
        start = self.take(size_bytes)
        if code >= len(_DTYPES):
            raise ModelUnavailableError(f"model.bin holds a variable of unknown type {code}")
        dtype = _DTYPES[code]
        count = 1
        for length in shape:
            count *= length
        if count * dtype.itemsize != size_bytes or count == 0:
            raise ModelUnavailableError(f"model.bin holds a variable of shape {shape} in {size_bytes} bytes")
        return torch.frombuffer(self._buffer, dtype=dtype, count=count, offset=start).reshape(shape)


def read(buffer: bytearray) -> BinaryModel:
    """Read the bytes of a CTranslate2 Whisper model (binary versions 5 and 6).

    Raises:
        ModelUnavailableError: The bytes are something else, or not all there.
    """
    reader = _Reader(buffer)
    version = reader.number("I")
    if version not in _BINARY_VERSIONS:
        raise ModelUnavailableError(f"model.bin has version {version}: not a CTranslate2 model this server reads")
    spec = reader.text()
    if spec != _SPEC:
        raise ModelUnavailableError(f"model.bin holds a {spec[:40]!r}, not a {_SPEC}")
    reader.number("I")  # the spec's revision; what changed between them shows in the variables
    count = reader.number("I")
    if count > _MAX_VARIABLES:
        raise ModelUnavailableError(f"model.bin announces {count} variables")
    variables = {}
    for _ in range(count):
        name = reader.text()
        variables[name] = reader.tensor()
    aliases = {}
    for _ in range(min(reader.number("I"), _MAX_VARIABLES)):
        name = reader.text()
        aliases[name] = reader.text()
    return BinaryModel(variables, aliases)


class _Mapping:
    """Move variables one by one into a state dict, so that what is left over shows."""

    def __init__(self, model: BinaryModel) -> None:
        self.left = dict(model.variables)
        self.state: dict[str, torch.Tensor] = {}

    def pop(self, name: str) -> torch.Tensor:
        """Take a variable that must be there."""
        if name not in self.left:
            raise ModelUnavailableError(f"model.bin lacks {name}")
        return self.left.pop(name)

    def scalar(self, name: str) -> int:
        """Take a variable that must be one whole number."""
        value = self.pop(name)
        if value.numel() != 1 or value.is_floating_point():
            raise ModelUnavailableError(f"model.bin's {name} is not one whole number")
        return int(value.item())

    def linear(self, source: str, targets: tuple[str, ...]) -> None:
        """Split the stacked rows of one linear layer; Whisper's keys have no bias, so theirs must be zero."""
        weight, bias = self.pop(f"{source}/weight"), self.pop(f"{source}/bias")
        if weight.dim() != 2 or bias.shape != weight.shape[:1] or len(bias) % len(targets):
            raise ModelUnavailableError(f"model.bin's {source} has shape {tuple(weight.shape)}")
        parts = zip(targets, weight.chunk(len(targets)), bias.chunk(len(targets)), strict=True)
        for target, part_weight, part_bias in parts:
            self.state[f"{target}.weight"] = part_weight
            if not target.endswith(".key"):
                self.state[f"{target}.bias"] = part_bias
            elif bool(part_bias.any()):
                raise ModelUnavailableError(f"model.bin's {source} has a key bias, which Whisper has not")

    def side(self, side: str) -> int:
        """Map all layers of `encoder` or `decoder` and return how many there are."""
        layers = 0
        while f"{side}/layer_{layers}/ffn/linear_0/weight" in self.left:
            source, target = f"{side}/layer_{layers}", f"{side}.blocks.{layers}"
            crosses = side == "decoder"
            for name, names in _LINEARS.items():
                if crosses or not name.startswith("attention/"):
                    self.linear(f"{source}/{name}", tuple(f"{target}.{part}" for part in names))
            for name, norm in _NORMS.items():
                if crosses or not name.startswith("attention/"):
                    self.state[f"{target}.{norm}.weight"] = self.pop(f"{source}/{name}/gamma")
                    self.state[f"{target}.{norm}.bias"] = self.pop(f"{source}/{name}/beta")
            layers += 1
        return layers


def to_checkpoint(model: BinaryModel) -> dict[str, dict[str, int] | dict[str, torch.Tensor]]:
    """Return openai-whisper's checkpoint (`dims`, `model_state_dict`) with the very same values.

    Raises:
        ModelUnavailableError: A variable is missing, unknown, quantised or means another architecture.
    """
    mapping = _Mapping(model)
    if model.aliases.get(_PROJECTION) != _EMBEDDINGS:
        raise ModelUnavailableError("model.bin's output projection is not its token embedding, as Whisper's is")
    for name, value in _SETTINGS.items():
        if name in mapping.left and mapping.scalar(name) != value:
            raise ModelUnavailableError(f"model.bin's {name} is not {value}, as Whisper's is")
    heads = {side: mapping.scalar(f"{side}/num_heads") for side in ("encoder", "decoder")}
    layers = {side: mapping.side(side) for side in ("encoder", "decoder")}
    for source, target in _OUTER.items():
        mapping.state[target] = mapping.pop(source)
    unknown = sorted(mapping.left.keys() - _IGNORED)
    if unknown:
        raise ModelUnavailableError(
            f"model.bin holds {len(unknown)} variables Whisper has not, {unknown[0]} among them"
        )
    state = mapping.state
    if not all(tensor.is_floating_point() for tensor in state.values()):
        raise ModelUnavailableError("model.bin is quantised to integers; a float16 or float32 model is needed")
    audio, text = state["encoder.positional_embedding"], state["decoder.positional_embedding"]
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": audio.shape[0],
        "n_audio_state": audio.shape[-1],
        "n_audio_head": heads["encoder"],
        "n_audio_layer": layers["encoder"],
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_text_ctx": text.shape[0],
        "n_text_state": text.shape[-1],
        "n_text_head": heads["decoder"],
        "n_text_layer": layers["decoder"],
    }
    # Views of one big buffer would each be saved with all of it.
    return {"dims": dims, "model_state_dict": {name: tensor.clone() for name, tensor in state.items()}}

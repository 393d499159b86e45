"""Synthetic models: openai-whisper's of one megabyte, and a writer of CTranslate2's binary format."""

import dataclasses
import hashlib
import http.server
import struct
import threading
import time
import zipfile

import pytest
import torch
from whisper.model import ModelDimensions, Whisper

CODES = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.float16: 4}


@pytest.fixture
def dims():
    """Dimensions of the smallest Whisper that can hear and write, sizes different where they may be."""
    return ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=8,
        n_audio_head=2,
        n_audio_layer=2,
        n_vocab=51864,
        n_text_ctx=16,
        n_text_state=8,
        n_text_head=4,
        n_text_layer=3,
    )


@pytest.fixture
def checkpoint(dims):
    """A whole float16 checkpoint with random values, made by openai-whisper itself."""
    torch.manual_seed(7)
    model = Whisper(dims)
    state = {name: torch.randn(tensor.shape).half() for name, tensor in model.state_dict().items()}
    return {"dims": dataclasses.asdict(dims), "model_state_dict": state}


@pytest.fixture
def save(tmp_path):
    """Save any object with torch and return where."""

    def to_file(thing, name="model.pt", **options):
        path = tmp_path / name
        torch.save(thing, path, **options)
        return path

    return to_file


@pytest.fixture
def variables(checkpoint):
    """The variables and aliases that CTranslate2's converter would write for `checkpoint`."""
    return _variables(checkpoint)


@pytest.fixture
def write():
    """The writer of CTranslate2's binary format: variables and aliases in, bytes out."""
    return _write


def _string(text):
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def _write(variables, aliases=None, *, spec="WhisperSpec", version=6):
    aliases = {"decoder/projection/weight": "decoder/embeddings/weight"} if aliases is None else aliases
    out = struct.pack("<I", version) + _string(spec) + struct.pack("<II", 3, len(variables))
    for name, tensor in variables.items():
        values = tensor.numpy().tobytes()
        shape = struct.pack(f"<B{tensor.dim()}I", tensor.dim(), *tensor.shape)
        out += _string(name) + shape + struct.pack("<BI", CODES[tensor.dtype], len(values)) + values
    out += struct.pack("<I", len(aliases))
    for alias, name in aliases.items():
        out += _string(alias) + _string(name)
    return bytearray(out)


def _variables(checkpoint):
    dims, state = checkpoint["dims"], checkpoint["model_state_dict"]
    found = {
        "encoder/num_heads": torch.tensor(dims["n_audio_head"], dtype=torch.int16),
        "decoder/num_heads": torch.tensor(dims["n_text_head"], dtype=torch.int16),
        "decoder/activation": torch.tensor(3, dtype=torch.int8),
        "decoder/pre_norm": torch.tensor(1, dtype=torch.int8),
        "decoder/scale_embeddings": torch.tensor(0, dtype=torch.int8),
        "decoder/alignment_layer": torch.tensor(-1, dtype=torch.int16),
        "decoder/embeddings/weight": state["decoder.token_embedding.weight"],
    }
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            found[f"encoder/{conv}/{part}"] = state[f"encoder.{conv}.{part}"]
    for side, norm in (("encoder", "ln_post"), ("decoder", "ln")):
        found[f"{side}/position_encodings/encodings"] = state[f"{side}.positional_embedding"]
        found |= _norm(state, f"{side}/layer_norm", f"{side}.{norm}")
        for layer in range(dims["n_audio_layer" if side == "encoder" else "n_text_layer"]):
            found |= _layer(state, f"{side}/layer_{layer}", f"{side}.blocks.{layer}", crosses=side == "decoder")
    return found


def _layer(state, to, of, *, crosses):
    def stack(*names):
        weight = torch.cat([state[f"{of}.{name}.weight"] for name in names])
        zeros = torch.zeros(len(weight) // len(names), dtype=weight.dtype)
        return weight, torch.cat([state.get(f"{of}.{name}.bias", zeros) for name in names])

    linears = {
        "self_attention/linear_0": stack("attn.query", "attn.key", "attn.value"),
        "self_attention/linear_1": stack("attn.out"),
        "ffn/linear_0": stack("mlp.0"),
        "ffn/linear_1": stack("mlp.2"),
    }
    found = _norm(state, f"{to}/self_attention/layer_norm", f"{of}.attn_ln")
    found |= _norm(state, f"{to}/ffn/layer_norm", f"{of}.mlp_ln")
    if crosses:
        found |= _norm(state, f"{to}/attention/layer_norm", f"{of}.cross_attn_ln")
        linears["attention/linear_0"] = stack("cross_attn.query")
        linears["attention/linear_1"] = stack("cross_attn.key", "cross_attn.value")
        linears["attention/linear_2"] = stack("cross_attn.out")
    for name, (weight, bias) in linears.items():
        found |= {f"{to}/{name}/weight": weight, f"{to}/{name}/bias": bias}
    return found


def _norm(state, to, of):
    return {f"{to}/gamma": state[f"{of}.weight"], f"{to}/beta": state[f"{of}.bias"]}


class Site(http.server.ThreadingHTTPServer):
    """A web site with one file, which it may hold back."""

    daemon_threads = True
    body = b""
    held_from = None  # the byte from which it sends nothing more, while that is set; -1 answers nothing at all
    gets = 0  # how often the file was asked for


class _Page(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._hold(-1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()

    def do_GET(self):
        self.server.gets += 1
        self.do_HEAD()
        until = len(self.server.body) if self.server.held_from is None else self.server.held_from
        self.wfile.write(self.server.body[:until])
        self._hold(until)
        self.wfile.write(self.server.body[until:])

    def _hold(self, at):
        while self.server.held_from == at:
            time.sleep(0.02)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """A site on this machine, at `url(sha256, name)`."""
    with Site(("127.0.0.1", 0), _Page) as server:
        server.url = lambda sha256, name="tiny.pt": f"http://127.0.0.1:{server.server_port}/{sha256}/{name}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.held_from = None
        server.shutdown()
        thread.join()


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Make wheels in a folder that is all pip knows, and return (path, sha256) of each."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def make(name, member, content):
        path = folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, bytes(content))
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    return make

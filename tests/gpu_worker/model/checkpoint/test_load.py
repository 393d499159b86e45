import pickle
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whisper.model import Whisper

from gpu_worker.model.checkpoint.load import expected_shapes, load_checkpoint
from shared.errors import ModelUnavailableError


def test_expected_tensors_are_whispers_own(dims):
    """The list of tensors and shapes is what openai-whisper's model of these dims has."""
    own = {name: tuple(tensor.shape) for name, tensor in Whisper(dims).state_dict().items()}
    assert expected_shapes(dims) == own


def test_load_returns_what_was_saved(checkpoint, dims, save):
    """A good file gives Whisper's dims and its tensors, in the type they have on disk, and Whisper's model takes both."""
    loaded_dims, state = load_checkpoint(save(checkpoint))
    assert loaded_dims == dims
    Whisper(loaded_dims).load_state_dict(state)
    for name, tensor in checkpoint["model_state_dict"].items():
        assert state[name].dtype == torch.float16
        assert torch.equal(state[name], tensor)


def test_tensors_are_mapped_not_read(checkpoint, save):
    """The tensors lie in the file's own pages, so that workers share them."""
    path = save(checkpoint)
    _, state = load_checkpoint(path)
    assert state
    assert str(path) in Path("/proc/self/maps").read_text()


def test_old_files_load_too(checkpoint, save):
    """A checkpoint in torch's format of before 1.6, which cannot be mapped, is read."""
    path = save(checkpoint, _use_new_zipfile_serialization=False)
    assert load_checkpoint(path)[1].keys() == checkpoint["model_state_dict"].keys()


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("decoder.blocks.1.mlp.0.bias", None, r"model\.pt.*decoder\.blocks\.1\.mlp\.0\.bias"),
        ("encoder.adapter", torch.ones(1), r"encoder\.adapter"),
        ("encoder.conv2.bias", torch.ones(9), r"encoder\.conv2\.bias has shape \(9,\), not \(8,\)"),
    ],
    ids=["missing", "unknown", "wrong shape"],
)
def test_a_wrong_tensor_is_named(checkpoint, save, name, tensor, reason):
    """A tensor that is missing, unknown to Whisper or of another shape is named."""
    checkpoint["model_state_dict"].pop(name, None)
    if tensor is not None:
        checkpoint["model_state_dict"][name] = tensor
    with pytest.raises(ModelUnavailableError, match=reason):
        load_checkpoint(save(checkpoint))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(checkpoint, save, value):
    """One NaN or infinity anywhere is found and its tensor named."""
    checkpoint["model_state_dict"]["decoder.blocks.2.cross_attn.key.weight"][7, 3] = value
    with pytest.raises(ModelUnavailableError, match=r"decoder\.blocks\.2\.cross_attn\.key\.weight.*not finite"):
        load_checkpoint(save(checkpoint))


@pytest.mark.parametrize(
    "change",
    [
        {"n_vocab": 0},
        {"n_text_layer": 10**9},
        {"n_audio_state": 8.0},
        {"n_audio_head": 3},
        {"n_mels": "80"},
        {"n_mels": 64},
        {"n_audio_ctx": 750},
        {"n_vocab": 32000},
        {"n_text_state": 16},
        {"n_more": 1},
    ],
)
def test_wrong_dims_are_named_at_once(checkpoint, save, change):
    """Dims that make no model are refused by name before anything of their size is made."""
    checkpoint["dims"] |= change
    start_s = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="its "):
        load_checkpoint(save(checkpoint))
    assert time.monotonic() - start_s < 5


@pytest.mark.parametrize(
    "thing", [{}, [1, 2], torch.ones(3), {"dims": {}}, {"dims": 1, "model_state_dict": {}}, {"model_state_dict": 2}]
)
def test_other_things_are_no_checkpoint(save, thing):
    """A file of torch's with something else in it is said to be no Whisper checkpoint."""
    with pytest.raises(ModelUnavailableError, match="Whisper checkpoint"):
        load_checkpoint(save(thing))


@pytest.mark.parametrize("state", [3, {"encoder.conv1.bias": "no tensor"}])
def test_states_of_another_kind_are_refused(checkpoint, save, state):
    """A model_state_dict without tensors is refused."""
    checkpoint["model_state_dict"] = state if isinstance(state, int) else checkpoint["model_state_dict"] | state
    with pytest.raises(ModelUnavailableError, match=r"no mapping|encoder\.conv1\.bias is no tensor"):
        load_checkpoint(save(checkpoint))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=300))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_noise_is_no_checkpoint(tmp_path, noise):
    """For any bytes in a file the error is ours and names it."""
    path = tmp_path / "noise.pt"
    path.write_bytes(noise)
    with pytest.raises(ModelUnavailableError, match=r"noise\.pt"):
        load_checkpoint(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_is_no_checkpoint(checkpoint, save, data):
    """A checkpoint cut anywhere, as by an interrupted download, is never taken for a whole one."""
    path = save(checkpoint)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ModelUnavailableError, match=r"model\.pt"):
        load_checkpoint(path)


def test_nothing_in_a_file_is_run(save, tmp_path, checkpoint):
    """A pickle that would run code is refused and its code does not run."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    path = save(checkpoint | {"trap": Trap()}, pickle_module=pickle)
    with pytest.raises(ModelUnavailableError, match="torch cannot load it"):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_missing_file_is_said(tmp_path):
    """A path that is not there is named with the system's reason."""
    with pytest.raises(ModelUnavailableError, match=r"gone\.pt cannot be read: No such file"):
        load_checkpoint(tmp_path / "gone.pt")

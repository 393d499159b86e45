import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_worker.model.checkpoint.ctranslate2 import read, to_checkpoint
from gpu_worker.model.checkpoint.load import load_checkpoint
from shared.errors import ModelUnavailableError

same_fixture = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_value_arrives_unchanged(checkpoint, variables, write):
    """A converted model has the dims, names, types and bits of the checkpoint it was made from."""
    converted = to_checkpoint(read(write(variables)))
    assert converted["dims"] == checkpoint["dims"]
    assert converted["model_state_dict"].keys() == checkpoint["model_state_dict"].keys()
    for name, tensor in checkpoint["model_state_dict"].items():
        assert converted["model_state_dict"][name].dtype == torch.float16
        assert torch.equal(converted["model_state_dict"][name], tensor), name


def test_converted_is_a_checked_checkpoint(variables, write, save):
    """What the conversion writes passes the check of every checkpoint, at its natural size on disk."""
    converted = to_checkpoint(read(write(variables)))
    path = save(converted)
    load_checkpoint(path)
    size = sum(tensor.nbytes for tensor in converted["model_state_dict"].values())
    assert path.stat().st_size < size + 1024 * len(converted["model_state_dict"])


def test_float32_models_stay_float32(variables, write):
    """A model kept in float32 is converted in float32."""
    wide = {name: t.float() if t.is_floating_point() else t for name, t in variables.items()}
    state = to_checkpoint(read(write(wide)))["model_state_dict"]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


@same_fixture
@given(data=st.data())
def test_cut_short_is_named(variables, write, data):
    """A file cut anywhere is refused by name, never read as less."""
    whole = write(variables)
    with pytest.raises(ModelUnavailableError, match=r"cut short|version"):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


@same_fixture
@given(data=st.data())
def test_damaged_raises_nothing_else(variables, write, data):
    """Bytes changed anywhere give a model or our error, nothing else."""
    damaged = write(variables)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        to_checkpoint(read(damaged))
    except ModelUnavailableError:
        return


@given(st.binary(max_size=400))
def test_noise_is_refused(noise):
    """Noise is no model."""
    with pytest.raises(ModelUnavailableError):
        read(bytearray(noise))


@pytest.mark.parametrize(
    ("header", "reason"), [({"spec": "TransformerSpec"}, "TransformerSpec"), ({"version": 3}, "version 3")]
)
def test_another_kind_of_file_is_named(variables, write, header, reason):
    """A model of another architecture is refused by its name, a version whose fields may differ by its number."""
    with pytest.raises(ModelUnavailableError, match=reason):
        read(write(variables, **header))


@pytest.mark.parametrize(
    ("layer", "index"), [("encoder/layer_1/self_attention/linear_0", 9), ("decoder/layer_2/attention/linear_1", 0)]
)
def test_a_key_bias_is_refused(variables, write, layer, index):
    """Whisper's keys have no bias, and a model with one would lose it; in cross-attention the keys come first."""
    variables[f"{layer}/bias"][index] = 0.5
    with pytest.raises(ModelUnavailableError, match=f"{layer}.*key bias"):
        to_checkpoint(read(write(variables)))


def test_every_missing_variable_is_noticed(variables, write):
    """Without any one of its weights a model is not converted as if it were whole."""
    for name in [name for name, tensor in variables.items() if tensor.dim()]:
        fewer = {other: tensor for other, tensor in variables.items() if other != name}
        with pytest.raises(ModelUnavailableError, match=r"lacks|has not"):
            to_checkpoint(read(write(fewer)))


def test_unknown_variables_are_named(variables, write):
    """Weights that Whisper has no place for are not dropped silently."""
    variables["decoder/layer_0/adapter/weight"] = torch.ones(2, 2).half()
    with pytest.raises(ModelUnavailableError, match="decoder/layer_0/adapter/weight"):
        to_checkpoint(read(write(variables)))


@pytest.mark.parametrize(("name", "value"), [("decoder/activation", 0), ("decoder/pre_norm", 0)])
def test_another_way_to_compute_is_named(variables, write, name, value):
    """A model that is computed otherwise than Whisper is refused by the setting that says so."""
    variables[name] = torch.tensor(value, dtype=torch.int8)
    with pytest.raises(ModelUnavailableError, match=name):
        to_checkpoint(read(write(variables)))


def test_untied_projection_is_refused(variables, write):
    """Whisper's output projection is its embedding; a model that says nothing of it is refused."""
    with pytest.raises(ModelUnavailableError, match="projection"):
        to_checkpoint(read(write(variables, aliases={})))


def test_quantised_models_are_refused(variables, write):
    """An int8 model cannot become a checkpoint exactly, so it does not become one."""
    name = "encoder/layer_0/ffn/linear_0/weight"
    variables[name] = torch.ones(variables[name].shape, dtype=torch.int8)
    with pytest.raises(ModelUnavailableError, match="quantised"):
        to_checkpoint(read(write(variables)))

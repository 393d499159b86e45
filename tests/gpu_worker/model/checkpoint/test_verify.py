import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_worker.model.checkpoint import verify
from gpu_worker.model.checkpoint.locate import default_cache_dir, load_checkpoint, locate
from shared.errors import ModelUnavailableError

WORDS = st.lists(st.sampled_from("abc"), max_size=8)


@pytest.fixture
def real():
    return locate("tiny.en", cache_dir=default_cache_dir())


def test_the_real_model_transcribes_the_clip(real):
    """The default model writes every word of the shipped clip."""
    result = verify.verify_checkpoint(real)
    assert (result.errors, result.words) == (0, 14)
    assert result.passed


def test_a_scrambled_model_is_found_out(real, save):
    """Weights of the right names, shapes and sizes in the wrong places do not pass."""
    dims, state = load_checkpoint(real)
    for layer in range(dims.n_text_layer):
        prefix = f"decoder.blocks.{layer}.cross_attn"
        state[f"{prefix}.key.weight"], state[f"{prefix}.value.weight"] = (
            state[f"{prefix}.value.weight"],
            state[f"{prefix}.key.weight"],
        )
    state = {name: torch.clone(tensor) for name, tensor in state.items()}
    scrambled = save({"dims": dataclasses.asdict(dims), "model_state_dict": state})
    with pytest.raises(ModelUnavailableError, match=r"it hears .* wrong\)"):
        verify.require(scrambled)


@given(WORDS, WORDS)
def test_errors_are_a_distance(spoken, written):
    """Errors are none for the same words only, the same both ways, and never more than the longer list."""
    errors = verify.word_errors(spoken, written)
    assert (errors == 0) == (spoken == written)
    assert errors == verify.word_errors(written, spoken)
    assert abs(len(spoken) - len(written)) <= errors <= max(len(spoken), len(written))


@pytest.mark.parametrize(
    ("written", "errors"), [("the cat sat", 0), ("the sat", 1), ("a cat sat down", 2), ("", 3), ("The cat, sat!", 0)]
)
def test_errors_are_counted_in_words(written, errors):
    """Replaced, dropped and added words count one each; case and punctuation count nothing."""
    assert verify.word_errors(verify.normalised("the cat sat"), verify.normalised(written)) == errors

import pytest
import torch

from gpu_worker.model.nn.linear import cpu_precision, dtype_of, linear, quickest

CPU = torch.device("cpu")


def refuse(*_, **_options):
    """Stand for an operator that this build of torch, or this processor, does not have."""
    raise RuntimeError("no such operator")


@pytest.mark.parametrize(("kind", "error"), [("fp32", 1e-6), ("bf16", 2e-2), ("fp16", 4e-3), ("int8", 4e-2)])
def test_every_kind_computes_the_same_product(kind, error):
    """Each way answers x times the weights plus the bias, as near as its bits allow, in its own type."""
    torch.manual_seed(1)
    weight, bias, x = torch.randn(48, 96), torch.randn(48), torch.randn(5, 96)
    exact = x @ weight.T + bias
    ours = linear(weight, bias, kind, CPU)(x)
    assert ours.dtype == dtype_of(kind)
    assert (ours.float() - exact).abs().max() < error * exact.abs().max()


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_a_gelu_behind_a_product_is_torchs(kind):
    """With a GELU asked for, the answer is torch's GELU of the plain product, as near as the kind's bits allow."""
    torch.manual_seed(2)
    weight, bias, x = torch.randn(32, 64), torch.randn(32), torch.randn(9, 64)
    plain = linear(weight, bias, kind, CPU)(x).float()
    ours = linear(weight, bias, kind, CPU, gelu=True)(x).float()
    assert (ours - torch.nn.functional.gelu(plain)).abs().max() < 1e-2 * plain.abs().max()


def test_without_packed_weights_bf16_is_the_same(monkeypatch):
    """Where oneDNN cannot lay out bf16 weights, torch's own product answers the same."""
    torch.manual_seed(3)
    weight, bias, x = torch.randn(32, 64), torch.randn(32), torch.randn(9, 64)
    packed = linear(weight, bias, "bf16", CPU, gelu=True)(x)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", refuse)
    plain = linear(weight, bias, "bf16", CPU, gelu=True)(x)
    assert (packed.float() - plain.float()).abs().max() < 2e-2 * plain.abs().max()


def test_a_kind_that_cannot_be_computed_is_passed_over(monkeypatch):
    """Where torch has no int8 product any more, the measurement answers one that works."""
    monkeypatch.setattr(torch, "quantize_per_channel", refuse)
    assert quickest(("fp32", "int8"), width=64, rows=2) == "fp32"


def test_a_later_kind_must_be_clearly_quicker():
    """With a handicap that nothing can meet, the first and most trusted kind stays."""
    assert quickest(("fp32", "bf16", "int8"), width=64, rows=8, handicap=1e9) == "fp32"


def test_a_cpu_gets_kinds_that_it_can_compute():
    """The measured choice names float kinds for encoder and decoder."""
    chosen = cpu_precision(64)
    assert chosen.encoder in {"fp32", "bf16"}
    assert chosen.vocabulary in {"fp32", "bf16", "int8"}

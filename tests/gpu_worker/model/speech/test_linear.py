import pytest
import torch

from gpu_worker.model.linear import cpu_precision, dtype_of, linear, quickest

CPU = torch.device("cpu")


@pytest.mark.parametrize(("kind", "error"), [("fp32", 1e-6), ("bf16", 2e-2), ("fp16", 4e-3), ("int8", 4e-2)])
def test_every_kind_computes_the_same_product(kind, error):
    """Each way answers x times the weights plus the bias, as near as its bits allow, in its own type."""
    torch.manual_seed(1)
    weight, bias, x = torch.randn(48, 96), torch.randn(48), torch.randn(5, 96)
    exact = x @ weight.T + bias
    ours = linear(weight, bias, kind, CPU)(x)
    assert ours.dtype == dtype_of(kind)
    assert (ours.float() - exact).abs().max() < error * exact.abs().max()


def test_a_kind_that_cannot_be_computed_is_passed_over(monkeypatch):
    """Where torch has no int8 product any more, the measurement answers one that works."""
    monkeypatch.setattr("gpu_worker.model.linear._int8", lambda *_: (_ for _ in ()).throw(RuntimeError("gone")))
    assert quickest(("fp32", "int8"), width=64, rows=2) == "fp32"


def test_a_later_kind_must_be_clearly_quicker():
    """With a handicap that nothing can meet, the first and most trusted kind stays."""
    assert quickest(("fp32", "bf16", "int8"), width=64, rows=8, handicap=1e9) == "fp32"


def test_a_cpu_gets_kinds_that_it_can_compute():
    """The measured choice names float kinds for encoder and decoder."""
    chosen = cpu_precision(64)
    assert chosen.encoder in {"fp32", "bf16"}
    assert chosen.vocabulary in {"fp32", "bf16", "int8"}

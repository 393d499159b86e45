import torch

from gpu_worker.model.memory import give_back

CLEAR = "_cuda_clearCublasWorkspaces"


def test_cublas_gives_its_memory_back(monkeypatch):
    """On CUDA the memory that cuBLAS keeps is freed with the rest; on a CPU there is none to free."""
    calls = []
    monkeypatch.setattr(torch._C, CLEAR, lambda: calls.append("cleared"), raising=False)
    give_back(torch.device("cpu"))
    assert calls == []
    give_back(torch.device("cuda"))
    assert calls == ["cleared"]


def test_a_torch_that_cannot_clear_cublas_unloads_all_the_same(monkeypatch):
    """Where torch has no longer (or, built for a CPU, never had) its private call, an unload goes on without it."""
    monkeypatch.delattr(torch._C, CLEAR, raising=False)
    give_back(torch.device("cuda"))

import json
import subprocess
import sys

import pynvml
import pytest

from gpu_worker.__main__ import pin
from gpu_worker.serving.device_memory import CpuMemory
from shared.errors import SettingsError
from shared.messages import MemoryReport
from shared.settings import WorkerSettings

READINGS = f"""
import json, numpy as np
from {CpuMemory.__module__} import {CpuMemory.__name__}
memory = {CpuMemory.__name__}()
before = memory.read()
block = np.ones(200 * 2**20, np.uint8)
during = memory.read()
del block
print(json.dumps([[r.total, r.allocated, r.free, r.available, r.utilization_percent]
                  for r in (before, during, memory.read())]))
"""


def test_cpu_memory_follows_the_process():
    """What the process takes for itself is what is reported as allocated, and what it gives back is not."""
    # In a process of its own: pages of this one become private when another lets go of them, and freed by anyone.
    printed = subprocess.run([sys.executable, "-c", READINGS], capture_output=True, text=True, check=True).stdout
    before, during, after = (MemoryReport(*each) for each in json.loads(printed))
    assert during.allocated - before.allocated > 190 * 2**20
    assert during.total == during.allocated + during.free
    assert 0 < during.available <= during.total
    assert during.utilization_percent is None
    assert after.allocated < during.allocated - 190 * 2**20


def test_a_control_groups_limit_is_the_total(tmp_path):
    """In a container the limit counts, not the machine; `max` is no limit."""
    limit = tmp_path / "memory.max"
    limits = (tmp_path / "absent", limit)
    limit.write_text("1073741824\n")
    assert CpuMemory(limits).read().total == 2**30
    limit.write_text("max\n")
    assert CpuMemory(limits).read().total > 2**30


@pytest.fixture
def driver(monkeypatch):
    """A driver that knows two devices, in place of this machine's."""

    def device(index):
        if not 0 <= index < 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return index

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", device)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda index: f"GPU-{index}")


@pytest.mark.parametrize(
    ("visible", "device", "chosen"),
    [("1", "auto", "cuda"), ("", "auto", "cpu"), ("-1", "auto", "cpu"), ("0,1", "cuda", "cuda"), ("7", "cpu", "cpu")],
)
def test_the_device_is_what_is_visible(driver, monkeypatch, visible, device, chosen):
    """A hidden GPU counts as none, and `DEVICE=cpu` looks at no GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert pin(WorkerSettings.from_env({"DEVICE": device})) == chosen


@pytest.mark.parametrize("visible", ["2", "card"])
def test_a_gpu_that_is_not_there_is_named(driver, monkeypatch, visible):
    """A worker too many for the machine's GPUs says so and is not started again and again."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(SettingsError, match=f"CUDA_VISIBLE_DEVICES='{visible}' names no GPU; 2 are here"):
        pin(WorkerSettings.from_env({}))


def test_cuda_without_a_gpu_is_refused(driver, monkeypatch):
    """Where all GPUs are hidden, ``DEVICE=cuda`` cannot be."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingsError, match="no NVIDIA GPU is found"):
        pin(WorkerSettings.from_env({"DEVICE": "cuda"}))

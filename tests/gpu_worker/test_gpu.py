import json
import subprocess
import sys

from gpu_worker import gpu
from gpu_worker.gpu import CpuGauge
from shared.messages import MemoryReport

READINGS = """
import json, numpy as np
from gpu_worker.gpu import CpuGauge
gauge = CpuGauge()
before = gauge.read()
held = np.ones(200 * 2**20, np.uint8)
during = gauge.read()
del held
print(json.dumps([[r.total, r.allocated, r.free, r.available, r.utilization_percent]
                  for r in (before, during, gauge.read())]))
"""


def test_the_cpu_gauge_follows_the_process():
    """What the process takes for itself is what is reported as allocated, and what it gives back is not."""
    # In a process of its own: pages of this one become private when another lets go of them, and freed by anyone.
    printed = subprocess.run([sys.executable, "-c", READINGS], capture_output=True, text=True, check=True).stdout
    before, during, after = (MemoryReport(*each) for each in json.loads(printed))
    assert during.allocated - before.allocated > 190 * 2**20
    assert during.total == during.allocated + during.free
    assert 0 < during.available <= during.total
    assert during.utilization_percent is None
    assert after.allocated < during.allocated - 190 * 2**20


def test_a_control_groups_limit_is_the_total(tmp_path, monkeypatch):
    """In a container the limit counts, not the machine; `max` is no limit."""
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(gpu, "_CGROUP_LIMITS", (tmp_path / "absent", limit))
    limit.write_text("1073741824\n")
    assert CpuGauge().read().total == 2**30
    limit.write_text("max\n")
    assert CpuGauge().read().total > 2**30

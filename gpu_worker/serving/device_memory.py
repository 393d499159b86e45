"""The door to device memory: NVML with a GPU, the process's own memory without one."""

import os
from collections.abc import Sequence
from pathlib import Path

import psutil
import pynvml

from shared.messages import MemoryReport

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class CpuMemory:
    """Memory of a worker without a GPU: its private memory (USS) against the machine's or control group's."""

    uuid: str | None = None

    def __init__(self, limits: Sequence[Path] = _CGROUP_LIMITS) -> None:
        """Measure this process; the first of the files ``limits`` that exists holds the control group's limit."""
        self._process = psutil.Process()
        self._limit = _cgroup_limit(limits)

    def read(self) -> MemoryReport:
        """Return the present figures; CPU load is not a device's, so ``utilization_percent`` is unknown."""
        machine = psutil.virtual_memory()
        total = min(machine.total, self._limit or machine.total)
        allocated = self._process.memory_full_info().uss
        return MemoryReport(total, allocated, max(0, total - allocated), min(machine.available, total), None)


class GpuMemory:
    """Memory and load of one NVIDIA device, as NVML sees it (all processes on the device).

    NVML ignores ``CUDA_VISIBLE_DEVICES``, so the device is found by what that variable names: a UUID or an index.
    """

    def __init__(self, visible: str) -> None:
        """Find the device.

        Raises:
            pynvml.NVMLError: there is no driver, or no such device.
        """
        pynvml.nvmlInit()
        first = visible.split(",", maxsplit=1)[0].strip()
        if first.startswith(("GPU-", "MIG-")):
            self._device = pynvml.nvmlDeviceGetHandleByUUID(first)
        else:
            self._device = pynvml.nvmlDeviceGetHandleByIndex(int(first or 0))
        uuid = pynvml.nvmlDeviceGetUUID(self._device)
        self.uuid: str | None = uuid.decode() if isinstance(uuid, bytes) else str(uuid)

    def read(self) -> MemoryReport:
        memory = pynvml.nvmlDeviceGetMemoryInfo(self._device)
        try:
            load: float | None = float(pynvml.nvmlDeviceGetUtilizationRates(self._device).gpu)
        except pynvml.NVMLError:  # some devices (MIG slices) have no such figure
            load = None
        return MemoryReport(int(memory.total), int(memory.used), int(memory.free), int(memory.free), load)


DeviceMemory = CpuMemory | GpuMemory


def has_gpu() -> bool:
    """Return True if there is a GPU for this process: the first that ``CUDA_VISIBLE_DEVICES`` names, if it names any.

    Raises:
        LookupError: it names one that is not there; the message says how many are.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False
    if not count or visible.split(",", maxsplit=1)[0].strip() in {"", "-1"}:
        return False
    try:
        GpuMemory(visible)
    except (pynvml.NVMLError, ValueError) as error:
        raise LookupError(f"CUDA_VISIBLE_DEVICES={visible!r} names no GPU; {count} are here: {error}") from error
    return True


def device_memory(device: str) -> DeviceMemory:
    """Return the reader for ``cpu`` or ``cuda``."""
    if device == "cuda":
        return GpuMemory(os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    return CpuMemory()


def _cgroup_limit(files: Sequence[Path]) -> int | None:
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 2**60:  # "max", or v1's way of saying none
            return int(text)
    return None

"""Return freed memory to the system, so that reported use falls when a model is unloaded."""

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

_MADV_DONTNEED = 4


def give_back(device: torch.device) -> None:
    """Collect garbage and return freed memory; looking through all objects takes 0.1 s."""
    gc.collect()
    # cuBLAS keeps some memory for each CUDA stream, also in the pool of recorded passes, which cannot be freed before.
    # Never while a recorded pass is left: it reads and writes there. torch has no public function for it and may drop
    # this one.
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)  # noqa: SLF001
    if device.type == "cuda" and clear is not None:
        clear()
    trim(device)


def trim(device: torch.device) -> None:
    """Return freed memory; allocators keep it otherwise."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    # Only glibc has it and needs it.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def drop_mapped_pages(file: Path) -> None:
    """Release the pages of a mapped file that this process has touched; they are read again when needed.

    They count as private memory of the only process that maps them, though the system could take them at any time.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for line in maps.read_text().splitlines():
        # address, permissions, offset, device, inode, path. Never a writable shared mapping: only clean copies go.
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(file) and fields[1].endswith("p"):
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)

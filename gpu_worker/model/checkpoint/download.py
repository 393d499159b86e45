"""Obtain files through watched child processes, in temporary folders, one process at a time."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from shared.errors import ModelUnavailableError

# Called with what is being done, the bytes done, and how many there are if that is known.
Progress: TypeAlias = Callable[[str, int, int | None], None]

_POLL_S = 0.1
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bound a download.

    Attributes:
        stall_s: longest time in which nothing arrives, the first byte included.
        total_s: longest time altogether.
    """

    stall_s: float = 20.0
    total_s: float = 3600.0


@contextlib.contextmanager
def exclusive(cache_dir: Path, name: str) -> Iterator[Path]:
    """Hold the lock on obtaining `name` and yield an empty folder inside `cache_dir`, removed at the end.

    A caller that had to wait for one that failed gets its error at once, instead of failing slowly again.
    Folders left by killed processes are removed: with the lock held they are not in use.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / f".{name}.lock").open("a+", encoding="utf-8") as lock:
        waited = False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in cache_dir.glob(f".{name}.fetch-*"):
            shutil.rmtree(stale, ignore_errors=True)
        lock.seek(0)
        failure = lock.read()
        if waited and failure:
            raise ModelUnavailableError(failure)
        lock.truncate(0)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=f".{name}.fetch-") as folder:
            try:
                yield Path(folder)
            except ModelUnavailableError as error:
                lock.write(str(error))
                raise


def run_watched(
    argv: list[str],
    *,
    folder: Path,
    deadlines: Deadlines,
    report: Callable[[int], None],
    env: dict[str, str] | None = None,
) -> None:
    """Run a command that writes under `folder` until it ends; end it when nothing more arrives there.

    Args:
        argv: The command and its arguments.
        folder: What it fills; a change of its size is a sign of life. Its output goes to a `.log` beside it.
        deadlines: When to end it.
        report: Called with the bytes there, whenever they change.
        env: The command's environment, this process's by default.

    Raises:
        ModelUnavailableError: It failed or met a deadline; the message carries its last line of output.
    """
    log = folder.with_suffix(".log")
    folder.mkdir()
    with (
        log.open("wb") as output,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env) as child,  # noqa: S603
    ):
        try:
            _watch(child, folder, deadlines, report)
        finally:
            child.kill()
    if child.returncode != 0:
        raise ModelUnavailableError(_last_line(log) or f"it ended with {child.returncode}, without a word")


def _watch(child: subprocess.Popen[bytes], folder: Path, deadlines: Deadlines, report: Callable[[int], None]) -> None:
    start_s = moved_s = time.monotonic()
    seen_bytes = -1
    while child.poll() is None:
        now_s = time.monotonic()
        size_bytes = _size_bytes(folder)
        if size_bytes != seen_bytes:
            seen_bytes, moved_s = size_bytes, now_s
            report(size_bytes)
        if now_s - moved_s > deadlines.stall_s:
            raise ModelUnavailableError(f"nothing arrived for {deadlines.stall_s:g} s")
        if now_s - start_s > deadlines.total_s:
            raise ModelUnavailableError(f"it took longer than {deadlines.total_s:g} s")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)
    report(_size_bytes(folder))


def _size_bytes(folder: Path) -> int:
    total_bytes = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            # The command moves and removes files as it likes.
            with contextlib.suppress(OSError):
                total_bytes += os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - walked ten times a second
    return total_bytes


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def publish(file: Path, target: Path) -> None:
    """Move a finished file to its place in one step that a loss of power cannot cut in two."""
    with file.open("rb") as data:
        os.fsync(data.fileno())
    file.replace(target)

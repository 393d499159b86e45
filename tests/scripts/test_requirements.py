"""The lock files name everything, once, and agree with what the packages themselves ask for."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LOCKS = Path(__file__).resolve().parents[2] / "requirements"
LEFT_OUT = {"triton"}  # openai-whisper asks for it; torch's CUDA build brings it, a CPU has no use for it
PLATFORMS = [
    {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": name,
        "platform_system": system,
        "extra": "",
    }
    for version in ("3.11", "3.12", "3.13")
    for name, system in (("linux", "Linux"), ("darwin", "Darwin"))
]


def canonical(name):
    """Return a package's name as the locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(name):
    """Return a lock's packages, each with its version."""
    lines = [line for line in (LOCKS / f"{name}.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("sets", [["runtime", "torch"], ["runtime", "torch", "dev"]])
def test_locks_are_closed(sets):
    """Whatever a locked package needs, on any Python and system we name, is locked at a version that suits it."""
    locked = {name: version for lock in sets for name, version in read(lock).items()}
    checked = 0
    for name in locked:
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            wanted = need.marker is None or any(need.marker.evaluate(platform) for platform in PLATFORMS)
            if (
                wanted
                and canonical(need.name) not in LEFT_OUT | {"cuda-bindings", "cuda-toolkit"}
                and not need.name.startswith("nvidia-")
            ):
                assert locked[canonical(need.name)] in need.specifier, f"{name} needs {line}"
                checked += 1
    assert checked > 30


def test_locks_do_not_overlap():
    """No package is in two lock files."""
    names = [name for lock in ("runtime", "torch", "dev") for name in read(lock)]
    assert len(names) == len(set(names))


def test_environment_is_the_locked_one():
    """The tests run on exactly the versions that are locked."""
    for lock in ("runtime", "torch", "dev"):
        for name, version in read(lock).items():
            assert importlib.metadata.version(name).split("+")[0] == version, name

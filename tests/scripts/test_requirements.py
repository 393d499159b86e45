"""The lock files name everything, once, with hashes, and agree with what the project and the packages ask for."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = [
    {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": name,
        "platform_system": system,
        "platform_machine": machine,
        "extra": "",
    }
    for version in ("3.11", "3.12", "3.13", "3.14")
    for name, system, machine in (
        ("linux", "Linux", "x86_64"),
        ("linux", "Linux", "aarch64"),
        ("darwin", "Darwin", "arm64"),
    )
]
SETS = ("build", "runtime", "torch", "dev")


def entries(name):
    text = (ROOT / "requirements" / f"{name}.lock").read_text().replace("\\\n", "")
    lines = [re.split(r"\s+--hash=", line) for line in text.splitlines() if not re.match(r"\s*(#|$)", line)]
    return [(Requirement(line), hashes) for line, *hashes in lines]


def read(name, platform=None):
    """Return a lock's packages and their versions: all, or those for a platform, which where not named is this one."""
    return {
        need.name: next(iter(need.specifier)).version
        for need, _ in entries(name)
        if platform is None or need.marker is None or need.marker.evaluate(platform)
    }


def for_cuda(name):
    """Return True for what torch's CUDA build alone brings."""
    return name == "triton" or (re.match("nvidia-|cuda-", name) and name != "nvidia-ml-py")


@pytest.mark.parametrize("name", [*SETS, "gateway"])
def test_every_package_is_pinned_and_hashed(name):
    """Each line has one exact version and the hashes of its files; no address is written into the file."""
    assert len(entries(name)) == len(read(name))
    for need, hashes in entries(name):
        assert [each.operator for each in need.specifier] == ["=="]
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), need
    assert "://" not in (ROOT / "requirements" / f"{name}.lock").read_text()


@pytest.mark.parametrize("sets", [SETS[:3], SETS])
def test_locks_are_closed(sets):
    """Whatever a locked package needs, on any Python and system we name, is locked at a version that suits it."""
    checked = 0
    for platform in PLATFORMS:
        locked = {name: version for lock in sets for name, version in read(lock, platform).items()}
        for name in locked:
            if for_cuda(name):
                continue  # not installed where a CPU is
            for line in importlib.metadata.requires(name) or []:
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate(platform):
                    assert locked[canonicalize_name(need.name)] in need.specifier, f"{name} needs {line} on {platform}"
                    checked += 1
    assert checked > 30 * len(PLATFORMS)


def test_locks_answer_the_project():
    """What pyproject.toml lists is locked, in the file of its list, at a version that it allows."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)
    extras = declared["project"]["optional-dependencies"]
    groups = declared["dependency-groups"]
    lists = [
        ("gateway", declared["project"]["dependencies"]),
        ("runtime", declared["project"]["dependencies"] + extras["worker"] + extras["scripts"]),
        ("torch", extras["torch"]),
        ("build", groups["build"]),
        ("dev", groups["dev"]),
    ]
    for name, needs in lists:
        locked = read(name) | (read("runtime") if name == "dev" else {})
        for need in map(Requirement, needs):
            assert locked[need.name] in need.specifier, f"{need}: run scripts/lock"


def test_a_cpu_gets_no_cuda_libraries():
    """They are in torch.lock alone, which no CPU is installed from, and there for Linux alone."""
    for name in ("build", "runtime", "dev", "gateway"):
        assert not [each for each in read(name) if for_cuda(each) or each == "torch"]
    mac = next(platform for platform in PLATFORMS if platform["sys_platform"] == "darwin")
    assert list(read("torch", mac)) == ["torch"]


def test_locks_do_not_overlap():
    """No package is in two lock files."""
    names = [name for lock in SETS for name in read(lock)]
    assert len(names) == len(set(names))


def test_the_gateways_lock_is_part_of_the_runtime():
    """It has the same versions and hashes, and none of a model's libraries."""
    whole = {need.name: (need.specifier, hashes) for need, hashes in entries("runtime")}
    assert {need.name: (need.specifier, hashes) for need, hashes in entries("gateway")}.items() <= whole.items()
    assert not read("gateway").keys() & {"numpy", "openai-whisper", "numba", "tiktoken"}


def test_environment_is_the_locked_one():
    """The tests run on exactly the versions that are locked."""
    for lock in SETS:
        for name, version in read(lock, platform={}).items():
            if not for_cuda(name):
                assert importlib.metadata.version(name).split("+")[0] == version, name

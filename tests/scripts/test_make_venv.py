"""scripts/setup on a small clone with lock files and packages of its own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.server.make_venv import has_nvidia_gpu

ROOT = Path(__file__).resolve().parents[2]
TORCH = "__version__ = '0'\nclass cuda:\n    is_available = staticmethod(bool)\n"


@pytest.fixture
def clone(tmp_path):
    """Return a directory with the scripts, locks that name nothing but torch, and a torch that cannot be imported."""
    (tmp_path / "scripts" / "server").mkdir(parents=True)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "wheels").mkdir()
    for name in ("setup", "server/make_venv.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    for name in ("build", "runtime", "dev"):
        lock(tmp_path, name, "# nothing")
    lock(tmp_path, "torch", wheel(tmp_path, "torch", 1, "raise ImportError"))
    return tmp_path


def wheel(clone, name, version, code):
    """Put a package into the clone's folder of wheels and return the lock's line for it."""
    path = clone / "wheels" / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", code)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def lock(clone, name, line):
    (clone / "requirements" / f"{name}.lock").write_text(line + "\n")


def other_hash(line):
    return re.sub(r"sha256:\w+", "sha256:" + "0" * 64, line)


def setup(clone, *arguments, **env):
    """Run scripts/setup under this Python, with no packages but the clone's."""
    packages = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone / "wheels")}
    return subprocess.run(
        [clone / "scripts" / "setup", *arguments],
        env=os.environ | packages | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_broken_install_is_taken_up_again(clone):
    """An install that failed is not taken for complete but tried again; a complete one is left alone until a lock changes."""
    lock(clone, "runtime", "whisper-live-gateway-no-such-package==1 --hash=sha256:" + "0" * 64)
    for _ in range(2):
        failed = setup(clone)
        assert failed.returncode == 1
        assert "Installing runtime.lock failed" in failed.stderr

    lock(clone, "runtime", "# nothing")
    broken = setup(clone)
    assert broken.returncode == 1
    assert "torch that was installed cannot be imported" in broken.stderr
    assert "torch" not in json.loads((clone / ".venv" / "stamp.json").read_text())

    lock(clone, "torch", wheel(clone, "torch", 2, TORCH))
    mended = setup(clone)
    assert mended.returncode == 0, mended.stderr
    assert "Installing requirements/torch.lock" in mended.stdout

    assert setup(clone).stdout == ""

    dev = setup(clone, "--dev")
    assert "Installing requirements/dev.lock" in dev.stdout
    assert "runtime.lock" not in dev.stdout

    lock(clone, "runtime", "# nothing, otherwise")
    changed = setup(clone)
    assert "Installing requirements/runtime.lock" in changed.stdout
    assert "torch.lock" not in changed.stdout


def test_packages_are_held_to_their_hashes(clone):
    """A package without a hash, or whose file has another one, is not installed."""
    line = wheel(clone, "small", 1, "")
    for wrong in (line.split()[0], other_hash(line)):
        lock(clone, "runtime", wrong)
        failed = setup(clone)
        assert failed.returncode == 1
        assert "hash" in failed.stderr.lower()
    lock(clone, "runtime", line)
    lock(clone, "torch", wheel(clone, "torch", 2, TORCH))
    assert setup(clone).returncode == 0
    assert list((clone / ".venv").rglob("small.py"))


@pytest.mark.skipif(has_nvidia_gpu() or sys.platform == "darwin", reason="no CPU build is installed here")
def test_torch_for_a_cpu_has_a_hash_of_its_own(clone):
    """A CPU build is the locked version, and not the newest, though the lock has the hash of another build."""
    lock(clone, "torch", other_hash(wheel(clone, "torch", 2, TORCH)))
    wheel(clone, "torch", 3, TORCH)
    assert setup(clone).returncode == 0
    assert list((clone / ".venv").rglob("torch-2.dist-info"))


def test_torch_for_a_gpu_is_held_to_its_hash(clone, tmp_path):
    """With a GPU torch must be the locked file."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: here\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    with_gpu = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    line = wheel(clone, "torch", 2, TORCH)
    lock(clone, "torch", other_hash(line))
    failed = setup(clone, **with_gpu)
    assert failed.returncode == 1
    assert "Installing torch.lock failed" in failed.stderr
    lock(clone, "torch", line)
    assert setup(clone, **with_gpu).returncode == 0


def test_old_python_is_named(clone, tmp_path):
    """With nothing newer than Python 3.10 the sentence says what is needed and what is there."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dirname").symlink_to(shutil.which("dirname"))
    (tools / "python3").write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.1\nexit 1\n')
    (tools / "python3").chmod(0o755)
    old = setup(clone, PATH=str(tools), PYTHON="")
    assert old.returncode == 3
    assert "needs Python 3.11 or newer; found Python 3.10.1" in old.stderr
    assert not (clone / ".venv").exists()


def test_missing_venv_module_is_explained(clone, tmp_path):
    """Where Debian's Python comes without venv, the sentence is the apt line that brings it."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    bare = setup(clone, PYTHONPATH=str(tmp_path))
    assert bare.returncode == 1
    assert re.search(r"sudo apt install python3(\.\d+)?-venv$", bare.stderr.strip())
    assert not (clone / ".venv").exists()

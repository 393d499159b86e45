"""scripts/setup on a small clone with lock files of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """Return a directory with the scripts and locks that name nothing, so that torch cannot be imported."""
    (tmp_path / "scripts" / "server").mkdir(parents=True)
    (tmp_path / "requirements").mkdir()
    for name in ("setup", "server/make_venv.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    for name in ("runtime", "torch", "dev"):
        (tmp_path / "requirements" / f"{name}.lock").write_text("# nothing\n")
    return tmp_path


def setup(clone, *arguments, **env):
    """Run scripts/setup under this Python."""
    return subprocess.run(
        [clone / "scripts" / "setup", *arguments],
        env=os.environ | {"PYTHON": sys.executable} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def put_torch(clone):
    """Put a module named torch into the clone's environment."""
    (site,) = (clone / ".venv" / "lib").glob("python3.*/site-packages")
    (site / "torch.py").write_text("__version__ = '0'\nclass cuda:\n    is_available = staticmethod(bool)\n")


def test_broken_install_is_taken_up_again(clone):
    """An install that failed is not taken for complete but tried again; a complete one is left alone until a lock changes."""
    lock = clone / "requirements" / "runtime.lock"
    lock.write_text("whisper-live-gateway-no-such-package==1\n")
    for _ in range(2):
        failed = setup(clone, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
        assert failed.returncode == 1
        assert "Installing runtime.lock failed" in failed.stderr

    lock.write_text("# nothing\n")
    broken = setup(clone)
    assert broken.returncode == 1
    assert "torch that was installed cannot be imported" in broken.stderr
    assert "torch" not in json.loads((clone / ".venv" / "stamp.json").read_text())

    put_torch(clone)
    mended = setup(clone)
    assert mended.returncode == 0
    assert "Installing requirements/torch.lock" in mended.stdout

    assert setup(clone).stdout == ""

    dev = setup(clone, "--dev")
    assert "Installing requirements/dev.lock" in dev.stdout
    assert "runtime.lock" not in dev.stdout

    lock.write_text("# nothing, otherwise\n")
    changed = setup(clone)
    assert "Installing requirements/runtime.lock" in changed.stdout
    assert "torch.lock" not in changed.stdout


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

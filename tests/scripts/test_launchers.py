"""The launchers in scripts/: under which Python they run, and what they say where there is none for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
LAUNCHERS = sorted(path for path in SCRIPTS.iterdir() if path.is_file() and "from _run import" in path.read_text())


def started(launcher, *arguments, cwd):
    command = [sys.executable, launcher, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda path: path.name)
def test_each_launcher_can_be_started_from_anywhere(launcher, tmp_path):
    """It is executable, names what it starts, and works from any directory, through a link too."""
    assert os.access(launcher, os.X_OK)
    (tmp_path / "link").symlink_to(launcher)
    done = started(tmp_path / "link", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "scripts").mkdir()
    for path in [*LAUNCHERS, SCRIPTS / "_run.py"]:
        shutil.copy(path, tmp_path / "scripts")
    return tmp_path


def test_without_an_environment(clone):
    """Before the first scripts/serve it says what to run, with the code of wrong usage."""
    done = started(clone / "scripts" / "status", cwd=clone)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no .venv yet: run scripts/serve or scripts/test first.\n"


def test_with_an_environment(clone):
    """Whatever Python starts it, it goes on under that of .venv, with the same arguments."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    done = started(clone / "scripts" / "status", "--url", "x y", cwd=clone)
    assert (done.returncode, done.stdout) == (0, f"{clone}/scripts/status --url x y\n")

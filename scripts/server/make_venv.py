"""Make or update ``.venv`` from the lock files; do nothing when it is complete already.

Run by ``scripts/setup`` under any Python from 3.11 on, so it uses the standard library alone. A stamp in the
environment, written last, says what it was made from: an install that broke off has none and is taken up again.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "requirements"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_INDEX_LIMIT_S = 900
"""The CPU index serves some 200 MB; a machine that cannot reach it gives up in time."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/setup", description="Make or update .venv from requirements/*.lock.")
    parser.add_argument("--dev", action="store_true", help="add what the checks and tests need")
    dev = parser.parse_args().dev
    with (LOCKS / "runtime.lock").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two starts at once install once
        sets = ["build", "runtime", "torch", *(["dev"] if dev else [])]
        build = "cuda" if has_nvidia_gpu() else "default" if sys.platform == "darwin" else "cpu"
        if stale(sets, build):
            make_environment(build)
            install(stale(sets, build), build)


def has_nvidia_gpu() -> bool:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    tool = shutil.which("nvidia-smi")
    return tool is not None and run_quietly([tool, "-L"]).startswith("GPU ")


def run_quietly(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def read_stamp() -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads((VENV / "stamp.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def stale(sets: list[str], build: str) -> dict[str, str]:
    """Return the lock files that the environment does not hold, each with the stamp it gets once it does.

    A stamp is the lock's hash, the environment's Python and, for torch, the build.
    """
    version = run_quietly([str(PYTHON), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    stamp = read_stamp()
    found = {}
    for name in sets:
        digest = hashlib.sha256((LOCKS / f"{name}.lock").read_bytes()).hexdigest()[:16]
        wanted = f"{digest} python{version}" + (f" {build}" if name == "torch" else "")
        if stamp.get(name) != wanted:
            found[name] = wanted
    return found


def install(names: dict[str, str], build: str) -> None:
    began = time.monotonic()
    stamp = {name: value for name, value in read_stamp().items() if name not in names}
    write_stamp(stamp)
    for name, value in names.items():
        print(f"Installing requirements/{name}.lock into .venv", flush=True)
        if name == "torch":
            install_torch(build)
        else:
            install_lock(name)
        stamp[name] = value
        write_stamp(stamp)
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)


def write_stamp(stamp: dict[str, str]) -> None:
    """Write the stamp whole or not at all."""
    part = VENV / "stamp.json.part"
    part.write_text(json.dumps(stamp, indent=1) + "\n")
    part.replace(VENV / "stamp.json")


def make_environment(build: str) -> None:
    """Make ``.venv`` where there is none, or none that is of use: no pip, an old Python, the other torch build."""
    usable = run_quietly([str(PYTHON), "-c", "import pip, sys; print(sys.version_info >= (3, 11))"]).strip() == "True"
    other_build = read_stamp().get("torch", build).split()[-1] != build
    if usable and not other_build:
        return
    if importlib.util.find_spec("ensurepip") is None:
        own = Path("/usr/bin/python3").resolve() == Path(sys.executable).resolve()
        package = "python3-venv" if own else f"python3.{sys.version_info.minor}-venv"
        sys.exit(f"This Python cannot make virtual environments. Run: sudo apt install {package}")
    print(f"Making .venv with Python {sys.version.split()[0]}", flush=True)
    check([sys.executable, "-m", "venv", "--clear", str(VENV)], "Making .venv failed")


def pip(*arguments: str) -> list[str]:
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--no-input", *arguments]


def check(command: list[str], failure: str) -> None:
    """Run a command, or end with what failed; the command's own output stands above it."""
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"{failure} (exit code {code}); what was installed so far is kept, so start again when it is mended.")


def install_lock(name: str) -> None:
    # openai-whisper comes as source: it is built with the locked setuptools, not with the newest one.
    options = ["--quiet", "--require-hashes", "--no-deps", "--no-build-isolation"]
    check(pip(*options, "-r", str(LOCKS / f"{name}.lock")), f"Installing {name}.lock failed")


def install_torch(build: str) -> None:
    """Install torch's build for this machine and see that it can be imported.

    The lock's hashes are those of the registry's files, on Linux a CUDA build and its libraries. A CPU build is another
    file under the same version, so it is held to the version alone; its libraries are in runtime.lock.
    """
    version = re.findall(r"^torch==\S+", (LOCKS / "torch.lock").read_text(), re.MULTILINE)
    if build != "cpu":
        install_lock("torch")
    elif not install_torch_from_cpu_index(version):
        check(pip("--no-deps", *version), "Installing torch failed")
    found = run_quietly([str(PYTHON), "-c", "import torch; print(torch.__version__, torch.cuda.is_available())"])
    if not found:
        subprocess.run([str(PYTHON), "-m", "pip", "--quiet", "uninstall", "--yes", "torch"], check=False)
        sys.exit(
            "The torch that was installed cannot be imported, so it was removed again. Without an NVIDIA GPU this "
            f"needs torch's CPU build: make {CPU_INDEX} reachable, or a wheel of it known to pip (PIP_FIND_LINKS)."
            if build == "cpu"
            else "The torch that was installed cannot be imported, so it was removed again."
        )
    print(f"torch {found.split()[0]}", flush=True)
    if build == "cuda" and found.split()[1] != "True":
        print("There is an NVIDIA GPU, but this torch cannot use it (is its driver too old?): the CPU works instead.")


def install_torch_from_cpu_index(version: list[str]) -> bool:
    command = pip("--no-deps", "--timeout", "10", "--retries", "0", "--index-url", CPU_INDEX, *version)
    try:
        done = subprocess.run(command, check=False, timeout=CPU_INDEX_LIMIT_S, env=os.environ | {"PIP_RETRIES": "0"})
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        print(f"No torch from {CPU_INDEX}; trying pip's usual places", flush=True)
        return False
    return True


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""Prepare a start of the server, then run supervisord in the foreground.

Run by ``scripts/serve`` inside the environment: it checks the settings, picks the run directory, makes sure that
no other server uses it or the port, and fetches the weights. Exit codes: 0 after a stop that was asked for, 3 if the
server can never start as it is set up, else 1.
"""

import argparse
import errno
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, NoReturn

from scripts.server.foreground import run_supervisord
from scripts.server.make_venv import has_nvidia_gpu, run_quietly
from shared.errors import SettingsError
from shared.settings import GatewaySettings, WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
RUN_DIR_LIMIT_BYTES = 75
"""A unix socket's path has at most 107 bytes, and supervisord's name below the run directory needs up to 26."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/serve",
        description="Run the gateway and its GPU workers until Ctrl-C. Settings come from the environment; "
        "the README has the table.",
    )
    parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))  # until supervisord runs
    gpus = count_gpus()
    env = {**os.environ, "GPU_WORKERS": os.environ.get("GPU_WORKERS") or str(gpus or 4)}
    try:
        gateway, worker = GatewaySettings.from_env(env), WorkerSettings.from_env(env)
    except SettingsError as error:
        end(f"A setting is wrong: {error}", 3)
    run_dir = make_run_dir(gateway.run_dir, ROOT)
    guard = hold(run_dir)
    check_port(gateway.host, gateway.port)
    env |= {
        "RUN_DIR": str(run_dir),
        "STOP_WAIT_S": str(int(gateway.drain_s) + 10),  # past its drain a process is killed
        "SERVER_PYTHON": sys.executable,
        "WHISPER_MODEL": fetch_model(worker, on_gpu=gpus > 0),
    }
    if gateway.log_format == "auto" and sys.stdout.isatty():
        env["LOG_FORMAT"] = "console"  # the processes themselves see a pipe
    sys.exit(run_supervisord(ROOT / "supervisord.conf", env, guard, (gateway.host, gateway.port)))


def end(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def count_gpus() -> int:
    if not has_nvidia_gpu():
        return 0
    listed = run_quietly(["nvidia-smi", "-L"]).splitlines()
    devices = list(Path("/dev").glob("nvidia[0-9]*"))
    return sum(line.startswith("GPU ") for line in listed) or len(devices)


def find_run_dir(chosen: Path, root: Path = ROOT) -> Path:
    """Return the directory of the sockets, made or not.

    A relative ``chosen`` is below ``root``. A path too long for a unix socket is replaced by a short one, the same
    at each start, below ``XDG_RUNTIME_DIR`` or the directory of temporary files.
    """
    run_dir = (root / chosen).resolve()
    if len(os.fsencode(run_dir)) <= RUN_DIR_LIMIT_BYTES:
        return run_dir
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    short = Path(base) / f"whisper-live-{os.getuid()}-{digest}"
    print(f"The path of RUN_DIR is too long for sockets; they are in {short}", file=sys.stderr)
    return short


def make_run_dir(chosen: Path, root: Path) -> Path:
    run_dir = find_run_dir(chosen, root)
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run_dir.lstat()
    except OSError as error:
        end(f"RUN_DIR {run_dir} cannot be made: {error.strerror}", 3)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:  # as given, never mended: it may be a shared directory
        end(f"RUN_DIR {run_dir} must belong to this user alone, with mode 0700; set it to a directory of its own", 3)
    return run_dir


def hold(run_dir: Path) -> IO[str]:
    guard = (run_dir / "serve.lock").open("w")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        end(f"The server is running already, with the same RUN_DIR {run_dir}. Stop it first, or set RUN_DIR.", 1)
    return guard


def check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        end(f"HOST={host!r} is no address: {error.strerror}", 3)
    except OSError as error:
        hint = " Something else listens there; set PORT to another." if error.errno == errno.EADDRINUSE else ""
        end(f"Cannot listen on HOST={host!r} PORT={port}: {os.strerror(error.errno or 0)}.{hint}", 1)


def fetch_model(worker: WorkerSettings, *, on_gpu: bool) -> str:
    on_cuda = worker.device == "cuda" or (worker.device == "auto" and on_gpu)
    names = [worker.whisper_model] if worker.whisper_model else [*(["large-v3-turbo"] if on_cuda else []), "tiny.en"]
    folder = Path(
        worker.model_cache_dir or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "whisper"
    ).expanduser()
    for name in names:
        if Path(name).expanduser().is_file() or (folder / f"{name}.pt").is_file():
            return name  # each worker checks the file as it loads it; a second start must take seconds
        code = subprocess.run([sys.executable, str(ROOT / "scripts" / "fetch_model"), name], check=False).returncode
        if code == 0:
            return name
    end(f"No weights for WHISPER_MODEL={names[-1]!r}; what was tried stands above.", 3)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

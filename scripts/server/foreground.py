"""Stand between supervisord and the terminal (or systemd), and leave nothing behind at the end.

Output comes through a pipe, since ``/dev/fd/1`` cannot be opened where stdout is a socket. Ctrl-C, SIGTERM and a
closed terminal become one orderly stop; a second Ctrl-C kills. Processes that outlive supervisord are ended.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from scripts.tools.server_api import AnswerError, ServerApi, UnreachableError
from scripts.tools.supervisord import Supervisord, SupervisordError

NEVER = 3
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def run_supervisord(config: Path, env: Mapping[str, str], guard: IO[str], address: tuple[str, int]) -> int:
    """Run supervisord until it ends, and return the exit code that says how.

    It keeps the lock of the open file ``guard``, too, in case this process is killed.
    """
    prctl = linux_prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    pipe, pump = start_pump()
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)]
    if os.getuid() == 0:
        command += ["--user", "root"]  # said on purpose, supervisord does not warn of it
    child = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        pass_fds=[guard.fileno()],
        start_new_session=True,  # Ctrl-C comes here alone, and is passed on in order
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509  # no thread runs yet
    )
    os.close(pipe)
    stop = Stop(child)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    supervisord = Supervisord(Path(env["RUN_DIR"]))
    threading.Thread(target=watch_gateway, args=(supervisord, address, stop), daemon=True).start()
    code = child.wait()
    end_all([process for process in psutil.Process().children(recursive=True) if process.pid != pump])
    os.waitpid(pump, 0)  # the last process is gone, so it comes to the end of its pipe
    return stop.exit_code(code)


def linux_prctl() -> Callable[[int, int], object]:
    """Return the system call that ties processes' lives together; it does nothing outside Linux."""
    if sys.platform != "linux":
        return lambda _option, _value: None
    function: Callable[[int, int], object] = ctypes.CDLL(None).prctl
    return function


class Stop:
    """The order to stop: kept once given, passed on to supervisord, and turned into killing by a second Ctrl-C."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self._asked = 0
        self._code = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        again = self._asked > 0 and number == signal.SIGINT
        self._asked += 1
        if again:
            supervisord = psutil.Process(self._child.pid)
            for process in [supervisord, *supervisord.children(recursive=True)]:
                process.kill()
        else:
            self._child.terminate()

    def give_up(self, code: int) -> None:
        self._code = code
        self._asked += 1
        self._child.terminate()

    def exit_code(self, supervisord: int) -> int:
        if self._asked:
            return self._code
        return 0 if supervisord == 0 else 1  # 0: told to shut down by supervisorctl


def start_pump() -> tuple[int, int]:
    """Start the process that copies supervisord's output to ours; return its pipe's writing end and its pid.

    It is a process of its own, so that supervisord can still write, and so stop in order, when this one is killed:
    an error in writing its log would end it at once.
    """
    source, pipe = os.pipe()
    pid = os.fork()
    if pid:
        os.close(source)
        return pipe, pid
    try:
        os.close(pipe)
        os.setsid()  # Ctrl-C is not for it; it ends with its pipe
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        copy_output(source)
    finally:
        os._exit(0)


def copy_output(source: int) -> None:
    """Copy to stdout until the end; a reader that went away does not hold the server up."""
    reader = True
    while data := os.read(source, 65536):
        try:
            while reader and data:
                data = data[os.write(sys.stdout.fileno(), data) :]
        except OSError:
            reader = False


def watch_gateway(supervisord: Supervisord, address: tuple[str, int], stop: Stop) -> None:
    """Say where the page is once the gateway answers; stop everything if it can never start."""
    url = page_url(address)
    answered = False
    while True:
        time.sleep(0.5)
        if not answered and answers(address):
            answered = True
            print(f"\nThe page is at {url}  (Ctrl-C stops the server)\n", file=sys.stderr, flush=True)
        try:
            gateway = supervisord.process("gateway")
        except SupervisordError:
            continue  # not up yet, or on its way down
        if gateway.state == "EXITED" and gateway.exit_status == NEVER:
            print("The gateway cannot start; its reason stands above.", file=sys.stderr, flush=True)
            stop.give_up(NEVER)
            return


def page_url(address: tuple[str, int]) -> str:
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # not bound here
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def answers(address: tuple[str, int]) -> bool:
    try:
        ServerApi(page_url(address)).get("/health")
    except UnreachableError as error:
        return isinstance(error, AnswerError)
    return True


def end_all(orphans: list[psutil.Process]) -> None:
    for process in orphans:
        process.terminate()
    for process in psutil.wait_procs(orphans, timeout=10)[1]:
        process.kill()

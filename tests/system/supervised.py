"""The real thing as an operator starts it: the launcher, supervisord with the shipped configuration, real weights."""

import signal
import sys

from tests.system.server import STOP_LIMIT_S, Server

LAUNCHER = (sys.executable, "-m", "scripts.server.supervise")
WORKERS = 4
_LAUNCH = """
import os, sys
from pathlib import Path
from scripts.server.foreground import run_supervisord
from scripts.server.supervise import hold
guard = hold(Path(os.environ["RUN_DIR"]))
sys.exit(run_supervisord(Path(sys.argv[1]), dict(os.environ), guard, ("127.0.0.1", int(os.environ["PORT"]))))
"""


def launch(config):
    """Return the command that runs supervisord in the foreground with a configuration of the test's own."""
    return (sys.executable, "-c", _LAUNCH, str(config))


class Supervised(Server):
    """A gateway and four workers with ``tiny.en`` on the CPU, under supervisord."""

    def __init__(self, run_dir, **settings: str) -> None:
        super().__init__(run_dir, workers=WORKERS, WHISPER_MODEL="tiny.en", **settings)

    def start(self):
        """Start everything and wait until all slots are served."""
        run_dir = self.run_dir
        run_dir.mkdir(mode=0o700, exist_ok=True)
        self.launcher = self.start_process(LAUNCHER, {})
        self.wait_for_gateway(self.launcher)
        self.wait_serving(WORKERS, limit_s=120)
        return self

    def stop(self) -> None:
        """Stop everything as Ctrl-C does, and check the exit and the logs."""
        self.launcher.send_signal(signal.SIGINT)
        assert self.launcher.wait(STOP_LIMIT_S) == 0, self.log.text()
        self.log.check()

"""The server as an operator starts it: the launcher, and supervisord with the shipped configuration."""

import signal
import sys

from tests.system.server import ROOT, STOP_LIMIT_S, Server

LAUNCHER = (sys.executable, "-m", "scripts.server.supervise")
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
    """A gateway and its workers under supervisord; ``scripted`` ones in the real ones' place if that is asked for."""

    def __init__(self, run_dir, *, scripted: bool = False, **options) -> None:
        super().__init__(run_dir, SERVER_PYTHON=sys.executable, **options)
        self._scripted = scripted

    def start(self):
        """Start everything and wait until all slots are served."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        self.launcher = self.start_process(launch(self._scripted_config()) if self._scripted else LAUNCHER, {})
        self.wait_for_gateway(self.launcher)
        self.wait_serving(self._count, limit_s=240)
        return self

    def _scripted_config(self):
        """Return the shipped configuration but for the workers' command."""
        conf = (ROOT / "supervisord.conf").read_text()
        for shipped, ours in (
            ("-m gpu_worker", "-m tests.system.scripted_worker"),
            ("directory=%(here)s", f"directory={ROOT}"),
        ):
            assert shipped in conf
            conf = conf.replace(shipped, ours)
        file = self.run_dir / "scripted.conf"
        file.write_text(conf)
        return file

    def stop(self) -> None:
        """Stop everything as Ctrl-C does, and check the exit and the logs."""
        self.launcher.send_signal(signal.SIGINT)
        assert self.launcher.wait(STOP_LIMIT_S) == 0, self.log.text()
        self.log.check()

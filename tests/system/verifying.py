"""``scripts/verify_scaling`` as a process, and what it found."""

import json
import sys

from tests.system.server import GATEWAY, Server, run

FAULTY_GATEWAY = (sys.executable, "-m", "tests.system.faulty_gateway")


class ServerWithFault(Server):
    """The real gateway and worker with a scripted recognizer that has weights; one of them may have a fault."""

    def __init__(self, run_dir, *, workers=4, fault="", worker_fault=None, **settings):
        self._fault = fault
        super().__init__(
            run_dir,
            workers=workers,
            recognizer={"by_position": True, "weights_mb": 64, "load_s": 0.05} | (worker_fault or {}),
            MODEL_IDLE_UNLOAD_S="1",
            STEP_MIN_S="0.3",
            GATEWAY_FAULT=fault,
            **settings,
        )

    def launch_gateway(self):
        """Start the gateway, the faulty one if there is a fault, and return at once."""
        self.gateway = self.start_process(FAULTY_GATEWAY if self._fault else GATEWAY, {})
        return self.gateway


def command(server, *options):
    return [sys.executable, "scripts/verify_scaling", "--url", server.http_url, *options]


def verify(server, *options, seconds="1"):
    """Run it; return the finished process and its JSON."""
    result = server.run_dir / "result.json"
    arguments = ("--seconds", seconds, "--json", str(result), *options)
    done = run(command(server, *arguments), env=server._env, timeout=400)
    return done, json.loads(result.read_text()) if result.exists() else None


def failed(result):
    """Return the names of the checks that failed."""
    return {check["name"] for check in result["checks"] if check["verdict"] == "fail"}


def measured(result, name):
    """Return what was measured for a check."""
    return next(check["measured"] for check in result["checks"] if check["name"] == name)

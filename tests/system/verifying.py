"""``scripts/verify_scaling`` as a process, and what it found."""

import json
import subprocess
import sys

from tests.system.server import ROOT


def command(server, *options):
    return [sys.executable, "scripts/verify_scaling", "--url", server.http_url, *options]


def verify(server, *options, seconds="1"):
    """Run it; return the finished process and its JSON."""
    result = server.run_dir / "result.json"
    done = subprocess.run(
        command(server, "--seconds", seconds, "--json", str(result), *options),
        cwd=ROOT,
        env=server._env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done, json.loads(result.read_text()) if result.exists() else None


def failed(result):
    """Return the names of the checks that failed."""
    return {check["name"] for check in result["checks"] if check["verdict"] == "fail"}


def measured(result, name):
    """Return what was measured for a check."""
    return next(check["measured"] for check in result["checks"] if check["name"] == name)

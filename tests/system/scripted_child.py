"""A process to supervise in place of the gateway or a worker: it notes its life in files and does as a file says.

Usage: scripted_child.py gateway|gpu_worker. In its working directory it appends one line a start to ``<name>.starts`` (its pid)
and one line a stop to ``stops``; ``<name>.does`` may hold "exit CODE" or "linger SECONDS".
"""

import http.server
import os
import signal
import sys
import time
from pathlib import Path

NAME = sys.argv[1] + os.environ.get("GPU_ID", "")


def note(file, line):
    with Path(file).open("a") as log:
        log.write(line + "\n")


def stop(_number, _frame):
    what, _, seconds = behaviour.partition(" ")
    if what == "linger":
        time.sleep(float(seconds))
    note("stops", NAME)
    sys.exit(0)


class Health(http.server.BaseHTTPRequestHandler):
    """Answers every path like a healthy gateway."""

    def do_GET(self):
        """Answer."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args):
        """Keep the output to what the tests look for."""


behaviour = Path(f"{NAME}.does").read_text() if Path(f"{NAME}.does").exists() else ""
signal.signal(signal.SIGTERM, stop)
note(f"{NAME}.starts", str(os.getpid()))
sys.stdout.write(f"{NAME} sees CUDA {os.environ.get('CUDA_VISIBLE_DEVICES')} and COLOUR {os.environ.get('COLOUR')}\n")
sys.stderr.write(f"{NAME} on stderr\n")
if behaviour.startswith("exit"):
    sys.exit(int(behaviour.split()[1]))
if NAME == "gateway":
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Health).serve_forever()
while True:
    signal.pause()

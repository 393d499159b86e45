"""Start a script of this folder by the interpreter of the project's .venv."""

import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PATHS = (ROOT, ROOT / "scripts" / "client")
"""What scripts and tests import from: the repository, and the client package without installing it."""


def run(module: str) -> None:
    """Call ``main`` of a module, and exit with what it returns."""
    if Path(sys.prefix).resolve() != VENV.resolve():
        if not PYTHON.exists():
            print("There is no .venv yet: run scripts/serve or scripts/test first.", file=sys.stderr)
            sys.exit(2)
        os.execv(PYTHON, [str(PYTHON), str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])  # noqa: S606
    sys.path[:0] = map(str, PATHS)
    sys.exit(importlib.import_module(module).main())

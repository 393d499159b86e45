"""Run a command of scripts/ in the project's environment: what all launchers share, under whatever Python."""

import importlib
import os
import sys
from pathlib import Path


def run(module: str, *, anywhere: bool = False) -> None:
    """Replace this process by one of ``.venv``'s Python, or, in that one, exit with what the module's ``main`` returns.

    With ``anywhere`` this Python has what the command needs where there is no ``.venv``, as in a container.
    """
    root = Path(__file__).resolve().parent.parent
    venv = root / ".venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix).resolve() != venv.resolve():
        if python.exists():
            os.execv(python, [str(python), str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])  # noqa: S606
        if not anywhere:
            print("There is no .venv yet: run scripts/serve or scripts/test first.", file=sys.stderr)
            sys.exit(2)
    # In place of scripts/, whose folders are no packages of their own; the client package need not be installed.
    sys.path[:1] = [str(root), str(root / "scripts" / "client")]
    sys.exit(importlib.import_module(module).main())

"""The house's rules about imports, read from every module's source; planted violations show that they bite."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("shared", "gateway", "gpu_worker")

CORES = {
    "shared": {"errors", "histogram", "messages", "wire"},
    "gateway": {
        "actions",
        "admission",
        "arrivals",
        "balance",
        "chronicle",
        "dossier",
        "journal",
        "latencies",
        "metrics",
        "monitor",
        "outbox",
        "patience",
        "placement",
        "pool",
        "session",
        "states",
        "statistics",
        "suspicion",
        "transcript",
        "views",
        "wall",
    },
    "gpu_worker": {
        "agreement",
        "audio",
        "cadence",
        "decision",
        "endpointing",
        "guards",
        "hypothesis",
        "language",
        "outbox",
        "planning",
        "policy",
        "recognizer",
        "slots",
        "step_loop",
        "stream",
        "window",
    },
}
CORE_MODULES = {f"{package}.{name}" for package, names in CORES.items() for name in names}

NOT_IN_CORES = {
    "asyncio", "concurrent", "ctypes", "datetime", "httpx", "importlib", "io", "logging", "multiprocessing", "os",
    "pathlib", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "starlette", "structlog",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid", "uvicorn", "zmq",
}  # fmt: skip
"""What reads a clock, opens something, waits, or throws dice."""

DOORS = {
    "torch": ("gpu_worker.model",),
    "whisper": ("gpu_worker.model",),
    "tiktoken": ("gpu_worker.model",),
    "silero_vad": (),
    "zmq": ("gateway.transport.worker_link", "gpu_worker.serving.gateway_link"),
    "pynvml": ("gpu_worker.serving.device_memory",),
    "psutil": ("gpu_worker.serving.device_memory",),
    "msgpack": ("shared.wire",),
    "structlog": ("shared.logs",),
    "prometheus_client": ("gateway.monitoring.prometheus", "gateway.app"),
    "starlette": (
        "gateway.app",
        "gateway.monitoring.sse",
        "gateway.auth.monitor_auth",
        "gateway.transport.client_connection",
    ),
    "uvicorn": ("gateway.server", "gateway.transport.uvicorn_protocol"),
    "numpy": ("gpu_worker",),
}
"""Heavy dependencies, and the only modules (or packages) that may import them."""

STRANGERS = {
    "shared": ("gateway", "gpu_worker"),
    "gateway": ("gpu_worker",),
    "gpu_worker": ("gateway",),
}
"""Which of our packages a package never imports."""

CALLS_NOT_IN_CORES = {"open", "print", "input", "exec", "eval", "__import__"}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every module of the three packages by its full name."""
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


@cache
def imports(name: str, source: str, *, is_package: bool) -> list[tuple[int, str]]:
    """Return the line and the full name of everything imported, wherever in the module."""
    here, found = name.split(".") if is_package else name.split(".")[:-1], []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


@cache
def calls(source: str) -> list[tuple[int, str]]:
    """Return the line and name of every function called by its bare name."""
    nodes = ast.walk(ast.parse(source))
    found = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [(node.lineno, node.func.id) for node in found]


def within(name: str, *owners: str) -> bool:
    """Tell whether a dotted name is one of ``owners`` or below one."""
    return any(name == owner or name.startswith(owner + ".") for owner in owners)


def violations(root: Path) -> list[str]:
    """Return what breaks a rule, a line each."""
    found = []
    for name, file in modules(root):
        source, short = file.read_text(), file.relative_to(root)
        for line, target in imports(name, source, is_package=file.name == "__init__.py"):
            found += [f"{short}:{line} imports {target}: {rule}" for rule in broken(name, target)]
        if name in CORE_MODULES:
            found += [f"{short}:{line} calls {each}" for line, each in calls(source) if each in CALLS_NOT_IN_CORES]
    return found


def broken(name: str, target: str) -> list[str]:
    """Return the rules that a module breaks by an import."""
    rules = [
        f"only {', '.join(owners) or 'nobody'} may"
        for heavy, owners in DOORS.items()
        if within(target, heavy) and not within(name, *owners)
    ]
    if within(target, *STRANGERS[name.split(".", maxsplit=1)[0]]):
        rules.append("the packages only share shared/")
    if name in CORE_MODULES and within(target, *NOT_IN_CORES):
        rules.append("a core does no I/O")
    if name in CORE_MODULES and within(target, *PACKAGES) and not within(target, *CORE_MODULES):
        rules.append("a core imports only cores")
    return rules


def test_the_house_keeps_its_rules():
    """No module of the three packages imports what its place in the house forbids."""
    assert violations(ROOT) == []


def test_every_core_is_there():
    """A core that was renamed does not slip out of the rules."""
    assert {name for name, _ in modules(ROOT)} >= CORE_MODULES


def test_a_module_that_calls_itself_a_core_is_held_to_it():
    """Whoever writes "Core:" into a docstring gets the rules of one."""
    called = {name for name, file in modules(ROOT) if file.read_text().startswith('"""Core:')}
    assert called <= CORE_MODULES


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Give a copy of the packages' modules."""
    root = tmp_path_factory.mktemp("tree")
    for _, file in modules(ROOT):
        target = root / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return root


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("gateway/app.py", "import gpu_worker"),
        ("gateway/sessions/session.py", "from gpu_worker.recognition.stream import Stream"),
        ("gpu_worker/serving/worker.py", "from gateway import pool"),
        ("gpu_worker/recognition/stream.py", "from gateway.sessions.journal import Journal"),
        ("shared/messages.py", "import gateway.placement.workers"),
        ("shared/logs.py", "from gpu_worker import slots"),
        ("gateway/session_manager.py", "import torch"),
        ("gateway/__main__.py", "def late():\n    from torch import nn"),
        ("shared/wire.py", "import whisper"),
        ("gpu_worker/recognition/stream.py", "import torch.nn.functional as F"),
        ("gpu_worker/serving/worker.py", "import whisper.audio"),
        ("gpu_worker/__main__.py", "if True:\n    import torch"),
        ("gateway/session_manager.py", "import zmq"),
        ("gateway/app.py", "from zmq.asyncio import Context"),
        ("gpu_worker/serving/worker.py", "import zmq.asyncio"),
        ("shared/wire.py", "import zmq"),
        ("shared/errors.py", "from starlette.websockets import WebSocket"),
        ("gateway/monitoring/reports.py", "import psutil"),
        ("gpu_worker/serving/worker.py", "import pynvml"),
        ("gateway/transport/worker_link.py", "import msgpack"),
        ("gateway/monitoring/log_observer.py", "import structlog"),
        ("gateway/sessions/session.py", "import time"),
        ("gateway/placement/workers.py", "from time import monotonic"),
        ("gateway/protocols/views.py", "import asyncio"),
        ("gateway/sessions/send_queue.py", "import os.path"),
        ("gateway/sessions/journal.py", "from pathlib import Path"),
        ("gateway/auth/client_auth.py", "import random"),
        ("gateway/sessions/transcript.py", "from shared import logs"),
        ("gateway/sessions/session.py", "from gateway.session_manager import Switchboard"),
        ("gateway/sessions/session.py", "from . import switchboard"),
        ("gateway/sessions/session.py", "from .link import Link"),
        ("gpu_worker/serving/slots.py", "from gpu_worker import worker"),
        ("gpu_worker/recognition/stream.py", "import socket"),
        ("gpu_worker/recognition/policy.py", "import logging"),
        ("gateway/monitoring/statistics.py", "print('counted')"),
        ("gateway/sessions/journal.py", "spill = open('/tmp/journal')"),
        ("gateway/__init__.py", "import torch"),
    ],
)
def test_a_planted_violation_is_found(copy, file, line):
    """One bad line in a copy of the tree is reported, at its place, and is all that is reported."""
    source = (copy / file).read_text()
    (copy / file).write_text(f"{source}\n{line}\n")
    found = violations(copy)
    (copy / file).write_text(source)
    assert found
    assert all(each.startswith(f"{file}:") for each in found)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("gateway.__main__", ("torch", "whisper", "numpy", "pynvml", "gpu_worker")),
        ("gpu_worker.__main__", ("torch", "whisper", "starlette", "gateway")),
    ],
)
def test_a_process_starts_without_what_it_must_not_have(module, absent):
    """Whatever is imported on the way, the gateway has no torch, and a worker none before its device is pinned."""
    code = f"import {module}, sys; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

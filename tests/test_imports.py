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

CORES = (
    "gateway.auth.client_auth",
    "gateway.monitoring.history",
    "gateway.monitoring.monitor_state",
    "gateway.monitoring.prometheus",
    "gateway.monitoring.quantiles",
    "gateway.monitoring.reports",
    "gateway.monitoring.snapshot",
    "gateway.monitoring.statistics",
    "gateway.monitoring.unclear_log",
    "gateway.placement.events",
    "gateway.placement.leases",
    "gateway.placement.policy",
    "gateway.placement.rebalancer",
    "gateway.placement.wait_queue",
    "gateway.placement.worker_handle",
    "gateway.placement.workers",
    "gateway.protocols",
    "gateway.sessions",
    "gpu_worker.model.cuda.shapes",
    "gpu_worker.recognition",
    "gpu_worker.recognizer",
    "gpu_worker.serving.pacing",
    "gpu_worker.serving.slots",
    "shared.errors",
    "shared.histogram",
    "shared.languages",
    "shared.messages",
    "shared.wire",
)
"""Folders and modules that decide and do no I/O; whatever is put into such a folder is one."""

CLOCKLESS_EXCEPT = {"gateway.sessions.client_session": ("secrets",)}
"""What a core may have all the same: a session's resume token is drawn where the session is made."""

LAYERS = {
    "gateway.sessions": ("shared", "gateway.sessions"),
    "gateway.placement": ("shared", "gateway.sessions", "gateway.placement"),
    "gateway.protocols": ("shared", "gateway.sessions", "gateway.protocols"),
    "gateway.auth": ("shared", "gateway.auth"),
    "gateway.transport": (
        "shared", "gateway.sessions", "gateway.placement.events", "gateway.protocols.base", "gateway.auth",
        "gateway.session_manager", "gateway.transport",
    ),
    "gateway.session_manager": ("shared", "gateway.sessions", "gateway.placement"),
    "gateway.monitoring": (
        "shared", "gateway.sessions", "gateway.placement", "gateway.session_manager", "gateway.auth",
        "gateway.background", "gateway.monitoring",
    ),
    "gateway.background": ("shared",),
    "gpu_worker.recognizer": ("shared",),
    "gpu_worker.recognition": ("shared", "gpu_worker.recognizer", "gpu_worker.recognition"),
    "gpu_worker.serving": ("shared", "gpu_worker.recognizer", "gpu_worker.recognition", "gpu_worker.serving"),
    "gpu_worker.model": ("shared", "gpu_worker.recognizer", "gpu_worker.model"),
    "gpu_worker.model.checkpoint": ("shared", "gpu_worker.model.checkpoint"),
    "gpu_worker.model.nn": ("shared", "gpu_worker.recognizer", "gpu_worker.model.nn", "gpu_worker.model.checkpoint"),
    "gpu_worker.model.cpu": ("shared", "gpu_worker.recognizer", "gpu_worker.model.nn", "gpu_worker.model.cpu"),
    "gpu_worker.model.cuda": ("shared", "gpu_worker.recognizer", "gpu_worker.model.nn", "gpu_worker.model.cuda"),
}  # fmt: skip
"""Of our own modules, what each room may import: sessions know neither protocols nor transport, placement knows no
socket but the one to the workers, monitoring only looks on. The most exact room that a module is in counts."""

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
    "zmq": ("shared.zmq_socket", "gateway.transport.worker_link", "gpu_worker.serving.gateway_link"),
    "pynvml": ("gpu_worker.serving.device_memory",),
    "psutil": ("gpu_worker.serving.device_memory",),
    "msgpack": ("shared.wire",),
    "structlog": ("shared.logs",),
    "prometheus_client": ("gateway.monitoring.prometheus", "gateway.monitoring.endpoints"),
    "starlette": (
        "gateway.app", "gateway.static_page", "gateway.auth.monitor_auth", "gateway.monitoring.endpoints",
        "gateway.monitoring.sse", "gateway.transport.client_connection", "gateway.transport.client_endpoint",
        "gateway.transport.client_writer",
    ),
    "uvicorn": ("gateway.server", "gateway.transport.uvicorn_protocol"),
    "websockets": ("gateway.transport.uvicorn_protocol",),
    "numpy": ("gpu_worker",),
}  # fmt: skip
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


def is_core(name: str) -> bool:
    """Return True if a module is a core or in a folder of cores."""
    return within(name, *CORES)


def room_of(name: str) -> str | None:
    """Return the most exact room with a rule that a module is in."""
    return max((room for room in LAYERS if within(name, room)), key=len, default=None)


def violations(root: Path) -> list[str]:
    """Return what breaks a rule, a line each."""
    found = []
    for name, file in modules(root):
        source, short = file.read_text(), file.relative_to(root)
        for line, target in imports(name, source, is_package=file.name == "__init__.py"):
            found += [f"{short}:{line} imports {target}: {rule}" for rule in broken(name, target)]
        if is_core(name):
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
    room = room_of(name)
    if room is not None and within(target, *PACKAGES) and not within(target, *LAYERS[room]):
        rules.append(f"{room} does not know that room")
    if is_core(name):
        if within(target, *NOT_IN_CORES) and not within(target, *CLOCKLESS_EXCEPT.get(name, ())):
            rules.append("a core does no I/O")
        if within(target, *PACKAGES) and not is_core(target) and not is_core(target.rpartition(".")[0]):
            rules.append("a core imports only cores")
    return rules


def test_the_house_keeps_its_rules():
    """No module of the three packages imports what its place in the house forbids."""
    assert violations(ROOT) == []


def test_every_rule_is_about_something():
    """A room, core or door that was renamed does not slip out of the rules."""
    names = {name for name, _ in modules(ROOT)}
    ours = {*CORES, *LAYERS, *CLOCKLESS_EXCEPT, *(owner for owners in DOORS.values() for owner in owners)}
    assert {each for each in ours if not any(within(name, each) for name in names)} == set()


def test_a_module_that_calls_itself_a_core_is_held_to_it():
    """Whoever writes "(core)" into a module's first sentence gets the rules of one."""
    called = {name for name, file in modules(ROOT) if "(core)" in file.read_text().split("\n\n", 1)[0]}
    assert {name for name in called if not is_core(name)} == set()


def test_folders_are_small():
    """A folder that has grown past fourteen modules is two rooms."""
    sizes: dict[Path, int] = {}
    for _, file in modules(ROOT):
        sizes[file.parent] = sizes.get(file.parent, 0) + 1
    assert {str(folder): size for folder, size in sizes.items() if size > 14} == {}


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
        ("gpu_worker/serving/worker.py", "from gateway.placement import workers"),
        ("gpu_worker/recognition/stream.py", "from gateway.sessions.journal import Journal"),
        ("shared/messages.py", "import gateway.placement.workers"),
        ("shared/logs.py", "from gpu_worker.serving import slots"),
        ("gateway/session_manager.py", "import torch"),
        ("gateway/__main__.py", "def late():\n    from torch import nn"),
        ("shared/wire.py", "import whisper"),
        ("gpu_worker/recognition/stream.py", "import torch.nn.functional as F"),
        ("gpu_worker/serving/worker.py", "import whisper.audio"),
        ("gpu_worker/__main__.py", "if True:\n    import torch"),
        ("gateway/session_manager.py", "import zmq"),
        ("gateway/transport/client_connection.py", "from zmq.asyncio import Context"),
        ("gpu_worker/serving/worker.py", "import zmq.asyncio"),
        ("shared/wire.py", "import zmq"),
        ("shared/errors.py", "from starlette.websockets import WebSocket"),
        ("gateway/monitoring/reports.py", "import psutil"),
        ("gpu_worker/serving/worker.py", "import pynvml"),
        ("gateway/transport/worker_link.py", "import msgpack"),
        ("gateway/monitoring/log_observer.py", "import structlog"),
        ("gateway/protocols/base.py", "import websockets"),
        ("gateway/sessions/session.py", "import time"),
        ("gateway/placement/workers.py", "from time import monotonic"),
        ("gateway/protocols/asr_full.py", "import asyncio"),
        ("gateway/sessions/send_queue.py", "import os.path"),
        ("gateway/sessions/journal.py", "from pathlib import Path"),
        ("gateway/sessions/session.py", "import secrets"),
        ("gateway/auth/client_auth.py", "import random"),
        ("gateway/sessions/transcript.py", "from shared import logs"),
        ("gateway/sessions/session.py", "from gateway.session_manager import SessionManager"),
        ("gateway/sessions/session.py", "from .. import session_manager"),
        ("gateway/sessions/client_session.py", "from gateway.protocols.asr_events import EventsProtocol"),
        ("gateway/sessions/session.py", "from ..transport.client_connection import ClientConnection"),
        ("gateway/placement/coordinator.py", "from gateway.transport.client_connection import ClientConnection"),
        ("gateway/placement/coordinator.py", "from gateway.transport.worker_link import WorkerLink"),
        ("gateway/placement/coordinator.py", "from gateway.monitoring.statistics import Statistics"),
        ("gateway/placement/leases.py", "from gateway.placement.coordinator import Coordinator"),
        ("gateway/session_manager.py", "from gateway.monitoring import log_observer"),
        ("gateway/protocols/asr.py", "from gateway.transport import client_endpoint"),
        ("gateway/protocols/asr_events.py", "from gateway.placement.workers import Lease"),
        ("gateway/transport/client_endpoint.py", "from gateway.protocols.asr import Asr"),
        ("gateway/transport/client_endpoint.py", "from gateway.monitoring.statistics import Statistics"),
        ("gateway/auth/monitor_auth.py", "from gateway.sessions.session import Session"),
        ("gateway/monitoring/sse.py", "from gateway.transport.client_connection import ClientConnection"),
        ("gpu_worker/serving/slots.py", "from gpu_worker.serving import worker"),
        ("gpu_worker/recognition/stream.py", "import socket"),
        ("gpu_worker/recognition/policy.py", "import logging"),
        ("gpu_worker/recognition/stream.py", "from gpu_worker.serving import slots"),
        ("gpu_worker/serving/scheduler.py", "from gpu_worker.model import load_recognizer"),
        ("gpu_worker/model/step.py", "from gpu_worker.recognition.stream import Stream"),
        ("gpu_worker/model/nn/tokens.py", "from gpu_worker.model import step"),
        ("gpu_worker/model/cpu/decoder.py", "from gpu_worker.model.cuda import graphs"),
        ("gateway/monitoring/statistics.py", "print('counted')"),
        ("gateway/sessions/journal.py", "spill = open('/tmp/journal')"),
        ("gateway/protocols/__init__.py", "import torch"),
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

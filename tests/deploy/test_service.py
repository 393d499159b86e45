"""The systemd unit: checked by systemd's own tools, and what it starts is run as it would be, short of systemd as PID 1."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import wave
from pathlib import Path

import pytest

from shared.settings import GatewaySettings, WorkerSettings
from tests.deploy.running import DEPLOY, ROOT, needs, ran, substituted
from tests.system.server import Server
from tests.system.talk import Talk

UNIT = DEPLOY / "systemd" / "whisperlivekit.service"
INSTALLED = "/opt/whisperlivekit"
KNOWN = {row.env for settings in (GatewaySettings, WorkerSettings) for row in settings.rows()}


def lines(name: str) -> list[str]:
    """Return the values of a directive of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def settings(text: str) -> dict[str, str]:
    """Return the variables that lines like ``NAME=value`` set, commented ones too."""
    return dict(re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", text, re.MULTILINE))


@pytest.fixture
def installed(tmp_path) -> Path:
    """Give the unit with this clone's path in the installed one's place."""
    unit = tmp_path / UNIT.name
    unit.write_text(substituted(UNIT.read_text(), {INSTALLED: str(ROOT)}))
    return unit


@needs("systemd-analyze")
def test_systemd_takes_the_unit(installed):
    """``systemd-analyze verify`` has nothing to say about it."""
    said = ran("systemd-analyze", "verify", str(installed))
    assert [line for line in said.splitlines() if installed.name in line] == []


@needs("systemd-analyze")
def test_a_wrong_directive_would_be_named(installed):
    """The check above bites."""
    installed.write_text(substituted(installed.read_text(), {"ProtectSystem=strict": "ProtectSystem=strictly"}))
    done = subprocess.run(["systemd-analyze", "verify", installed], capture_output=True, text=True, check=False)
    assert "strictly" in done.stdout + done.stderr


@needs("systemd-analyze")
def test_the_service_is_hardened(installed):
    """By systemd's own measure (10 is open, 0 closed) its exposure is at most 2."""
    ran("systemd-analyze", "security", "--offline=yes", "--threshold=20", str(installed))


@needs("systemd-sysusers")
def test_the_account_is_made():
    """``systemd-sysusers`` would make the account that the unit names."""
    said = ran("systemd-sysusers", "--dry-run", str(DEPLOY / "systemd" / "whisperlivekit.sysusers"))
    assert lines("User") == lines("Group") == ["whisperlivekit"]
    assert "whisperlivekit" in said


def test_it_never_restarts_what_can_never_start():
    """Exit code 3 ends it, everything else is restarted; only the launcher is told to stop."""
    assert lines("RestartPreventExitStatus") == ["3"]
    assert lines("Restart") == ["on-failure"]
    assert lines("KillMode") == ["mixed"]
    assert lines("RuntimeDirectoryMode") == ["0700"]
    assert lines("RuntimeDirectory") == ["whisperlivekit"]
    assert "Environment=RUN_DIR=/run/whisperlivekit" in UNIT.read_text()


def test_systemd_waits_for_both_drains():
    """Gateway and workers stop one after the other, each within DRAIN_S and ten seconds; only then comes SIGKILL."""
    drain_s = GatewaySettings.defaults().drain_s
    assert float(lines("TimeoutStopSec")[0]) >= 2 * (drain_s + 10) + 10


def test_the_settings_it_names_exist():
    """No variable in the unit or in its file of settings is one that is never read."""
    others = {"CUDA_DEVICE_ORDER", "PYTHONDONTWRITEBYTECODE"}
    named = set(settings("\n".join(lines("Environment")))) | set(
        settings((UNIT.parent / "whisperlivekit.env").read_text())
    )
    assert named - others <= KNOWN
    assert {"RUN_DIR", "API_TOKENS", "HOST", "PORT"} <= named
    values = {
        name: value for name, value in settings((UNIT.parent / "whisperlivekit.env").read_text()).items() if value
    }
    GatewaySettings.from_env(values)
    WorkerSettings.from_env(values)


class Service(Server):
    """What the unit starts, with the unit's environment, its clone read-only, and its output to a socket as journald's."""

    def start(self):
        """Start it and wait until a worker serves."""
        self.run_dir.chmod(int(lines("RuntimeDirectoryMode")[0], 8))
        ours, journald = socket.socketpair()
        command = substituted(lines("ExecStart")[0], {INSTALLED: str(ROOT)})
        readonly = (
            f'mount --bind "{ROOT}" "{ROOT}" && mount -o remount,bind,ro "{ROOT}" && cd "{ROOT}" && exec {command}'
        )
        self.launcher = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", readonly],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=journald,
            stderr=journald,
        )
        journald.close()
        self._started.append(self.launcher)
        self.log.follow(ours.makefile("r"))
        self.wait_for_gateway(self.launcher)
        self.wait_serving(1, limit_s=240)
        return self

    def kill(self) -> None:
        """Stop as KillMode=mixed does after its time: whatever is left is killed."""
        if self.launcher.poll() is None:
            self.launcher.terminate()
            try:
                self.launcher.wait(30)
            except subprocess.TimeoutExpired:
                super().kill()


def may_unshare() -> bool:
    """Tell whether a read-only view of the clone can be made here."""
    tool = shutil.which("unshare")
    return bool(tool) and subprocess.run([tool, "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.system
@pytest.mark.skipif(not may_unshare(), reason="needs root to make the clone read-only")
def test_the_service_runs_from_a_read_only_clone_and_drains(tmp_path):
    """Under the unit's conditions the guide's lines reach the journal's socket, and SIGTERM loses no word."""
    unit = settings("\n".join(lines("Environment")))
    own = {name: value for name, value in unit.items() if name not in {"RUN_DIR", "MODEL_CACHE_DIR"}}
    with Service(tmp_path, workers=1, WHISPER_MODEL="tiny.en", **own) as service:
        service.start()
        asyncio.run(asyncio.wait_for(spoken_while_it_stops(service), 240))
        assert service.launcher.wait(float(lines("TimeoutStopSec")[0])) == 0
        text = "".join(service.log.lines)
        for sentence in ("WebSocket accepted", "Allocated GPU 0", "TranscriptionEngine loaded", "Released GPU 0"):
            assert sentence in text
        assert "Read-only file system" not in text


async def spoken_while_it_stops(service) -> None:
    """Speak, have the launcher told to stop, and hear the last words."""
    with wave.open(str(ROOT / "shared" / "clips" / "LJ001-0004.wav")) as clip:
        pcm = clip.readframes(clip.getnframes())
    async with Talk(service) as talk:
        await talk.ready()
        await talk.send(pcm, real_time=True)
        service.launcher.send_signal(signal.SIGTERM)
        assert await talk.ended(30) == 1012
        assert talk.errors[-1][0] == "service_restart"
        assert len(talk.text.split()) > 5

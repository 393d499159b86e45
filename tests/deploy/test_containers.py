"""The container files, as far as they go without an engine: what they copy suffices, and what they name is there."""

import fnmatch
import importlib.metadata
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from shared.settings import GatewaySettings, WorkerSettings
from tests.deploy.running import DEPLOY, ROOT, needs, ran, running
from tests.system.server import environment, free_port, run

FOLDER = DEPLOY / "container"
KNOWN = {row.env for settings in (GatewaySettings, WorkerSettings) for row in settings.rows()}
KINDS = ("gateway", "worker")


def instructions(kind: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / f"{kind}.Dockerfile").read_text(), flags=re.MULTILINE)
    return [tuple(line.split(maxsplit=1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def sent(kind: str, path: Path) -> bool:
    """Tell whether a file of the clone is sent to the engine, by the Dockerfile's .dockerignore."""
    name, included = str(path.relative_to(ROOT)), True
    for rule in (FOLDER / f"{kind}.Dockerfile.dockerignore").read_text().split():
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = {str(parent) for parent in [Path(name), *Path(name).parents]} | set(Path(name).parts)
        if any(fnmatch.fnmatch(part, pattern) for part in parts):
            included = rule.startswith("!")
    return included


def copied(kind: str, into: Path) -> None:
    """Lay out what the Dockerfile copies, below ``into``, from what is sent to the engine."""
    for name, arguments in instructions(kind):
        if name != "COPY":
            continue
        *sources, target = arguments.split()
        for source in sources:
            found = [path for path in ROOT.glob(source) if path.is_dir() or sent(kind, path)]
            assert found, f"COPY {source}"
            for path in found:
                to_folder = target.endswith("/") and not path.is_dir()
                place = into / target / path.name if to_folder else into / target
                place.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    files = [each for each in path.rglob("*") if each.is_file() and sent(kind, each)]
                    assert files, f"COPY {source}"
                    for each in files:
                        (place / each.relative_to(path)).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(each, place / each.relative_to(path))
                else:
                    shutil.copy(path, place)


def packages(into: Path) -> Path:
    """Return a folder with nothing but the packages that the gateway's image installs."""
    folder = into / "packages"
    folder.mkdir()
    lock = (ROOT / "requirements" / "gateway.lock").read_text()
    for name in re.findall(r"^([\w-]+)==", lock, re.MULTILINE):
        files = importlib.metadata.files(name)
        for top in {file.parts[0] for file in files if file.parts[0] != ".."}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(files[0].locate()).parents[len(files[0].parts) - 1] / top)
    return folder


@pytest.mark.system
def test_the_gateway_runs_on_what_its_image_has(tmp_path):
    """With only the copied files and the listed packages it answers; torch and whisper are not there to be had."""
    image = tmp_path / "image"
    copied("gateway", image)
    assert not (image / "shared" / "clips").exists()
    port = free_port()
    own = {
        "PORT": str(port),
        "RUN_DIR": str(tmp_path / "run"),
        "GPU_WORKERS": "1",
        "PYTHONPATH": str(packages(tmp_path)),
    }
    command = [sys.executable, "-S", "-m", "gateway"]
    assert dict(instructions("gateway"))["CMD"] == '["python", "-m", "gateway"]'
    with running(command, port, tmp_path / "printed", cwd=image, env=environment(own)) as process:
        check = re.search(r'CMD \["python", "-c", "(.*)"\]', dict(instructions("gateway"))["HEALTHCHECK"])[1]
        code = check.replace(":8000/", f":{port}/")
        done = run([sys.executable, "-S", "-c", code])
        assert "503" in done.stderr  # it answers, and no worker serves
        process.terminate()
        assert process.wait(10) == 0


def test_the_worker_starts_on_what_its_image_copies(tmp_path):
    """With only the copied files a worker comes to the point at which it looks for its weights, and says so."""
    image = tmp_path / "image"
    copied("worker", image)
    env = environment({"WHISPER_MODEL": str(tmp_path / "none.pt"), "DEVICE": "cpu", "RUN_DIR": str(tmp_path)})
    done = run([sys.executable, "-m", "gpu_worker"], cwd=image, env=env, timeout=280)
    assert done.returncode == 3, done.stderr
    assert "none.pt" in done.stderr
    assert "usage" in ran(sys.executable, "scripts/fetch_model", "--help", cwd=image).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_made_with_care(kind):
    """Not run as root, packages by version and hash (a CPU's torch by its version), and every variable one that is read."""
    steps = instructions(kind)
    named = dict(steps)
    assert steps[0][0] == "FROM"
    assert named["USER"] == "whisperlivekit"
    assert [name for name, _ in steps].index("USER") > max(n for n, (name, _) in enumerate(steps) if name == "RUN")
    variables = set(re.findall(r"([A-Z_]+)=", named["ENV"]))
    assert variables - {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"} <= KNOWN
    for script in [arguments for name, arguments in steps if name == "RUN"]:
        ran("sh", "-n", "-c", script)
        for install in re.findall(r"pip install ([^&;]*)", script):
            assert "--require-hashes" in install or "$(grep -o '^torch==[^ ]*' torch.lock)" in install, install
            assert ".lock" in install


@needs("docker-compose")
def test_compose_takes_the_file(tmp_path):
    """It has a gateway and four workers, one GPU each, that meet in one directory; only loopback is published."""
    env = {name: value for name, value in os.environ.items() if name not in KNOWN}
    text = ran("docker-compose", "-f", str(FOLDER / "compose.yml"), "config", env=env)
    assert sorted(re.findall(r"^  (\w+):$", text.partition("volumes:\n  models")[0], re.MULTILINE)) == [
        "gateway", "gpu_worker_0", "gpu_worker_1", "gpu_worker_2", "gpu_worker_3", "model",
    ]  # fmt: skip
    assert re.findall(r"device_ids:\n\s+- '(\d)'", text) == ["0", "1", "2", "3"]
    assert re.findall(r"GPU_ID: '(\d)'", text) == ["0", "1", "2", "3"]
    assert text.count("- run:/run/whisperlivekit:rw") == 5
    assert text.count("read_only: true") == 6
    assert re.findall(r"ports:\n\s+- (\S+)", text) == ["127.0.0.1:8000:8000/tcp"]
    variables = set(re.findall(r"^      ([A-Z_]+):", text, re.MULTILINE))
    assert variables - {"CUDA_VISIBLE_DEVICES"} <= KNOWN
    builds = re.findall(r"context: (\S+)\n\s+dockerfile: (\S+)", text)
    assert {Path(context) for context, _ in builds} == {ROOT}
    assert {ROOT / file for _, file in builds} == {FOLDER / f"{kind}.Dockerfile" for kind in KINDS}


@needs("docker-compose")
def test_compose_stops_the_gateway_first():
    """It depends on every worker, so it is stopped before them, and it has longer than its drain."""
    text = ran("docker-compose", "-f", str(FOLDER / "compose.yml"), "config")
    gateway = text[text.index("  gateway:\n") : text.index("  gpu_worker_0:\n    cap_drop")]
    assert re.findall(r"gpu_worker_(\d):\n\s+condition: service_started", gateway) == ["0", "1", "2", "3"]
    grace_s = {int(found) for found in re.findall(r"stop_grace_period: (\d+)s", text)}
    assert min(grace_s) >= GatewaySettings.defaults().drain_s + 10

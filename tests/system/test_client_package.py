"""The client as others get it: its wheel in a venv of its own, away from the repository, against real weights."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from shared.clips import load_clips
from tests.system.reading import word_errors
from tests.system.server import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CLIP = load_clips()[1]


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """Give a venv with the client's wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(ROOT / "scripts" / "client", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--quiet")
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    # A lock with hashes cannot be a constraint for a wheel that has none: its versions can.
    lock = (ROOT / "requirements" / "runtime.lock").read_text()
    versions = folder / "versions.txt"
    versions.write_text("\n".join(re.findall(r"^[\w.-]+==[\w.]+", lock, flags=re.MULTILINE)))
    subprocess.run([*pip, "--python", python, "install", "--constraint", versions, wheel], check=True)
    return folder / "venv"


def run(venv, *arguments, **options):
    """Run a program of the venv outside the repository; return what it printed on standard output."""
    program, *rest = arguments
    command = [venv / "bin" / program, *rest]
    done = subprocess.run(command, cwd=venv, capture_output=True, text=True, timeout=200, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_depends_on_websockets_alone(venv):
    """The library is installed with one dependency, its types and its licence."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {package["name"] for package in json.loads(listed.stdout)} == {"websockets", "whisper-live-client"}
    (package,) = venv.glob("lib/*/site-packages/whisper_live_client")
    assert (package / "py.typed").exists()
    assert list(package.parent.glob("whisper_live_client-*/licenses/LICENSE"))


def test_the_readme_example(venv, real_server):
    """The README's example has under 20 lines, and prints the words of a clip as a server says them."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "scripts" / "client" / "README.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) < 20
    code = example.replace("ws://127.0.0.1:8000/asr", f"ws://127.0.0.1:{real_server.port}/asr")
    heard = run(venv, "python", "-c", code.replace("speech.wav", str(CLIP.path)))
    assert word_errors(CLIP.text, heard) < 0.1


def test_the_command_names_its_extra(venv):
    """Without the extra for it the command says what to install."""
    done = subprocess.run([venv / "bin" / "whisper-live-transcribe"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "click is missing: pip install 'whisper-live-client[cli]'\n"


def test_the_command(venv, real_server):
    """With its extra the command transcribes a file like scripts/transcribe."""
    url = f"ws://127.0.0.1:{real_server.port}/asr"
    extra = {"PYTHONPATH": ":".join(path for path in sys.path if path.endswith("site-packages"))}
    heard = run(venv, "whisper-live-transcribe", "--fast", "--quiet", "--url", url, CLIP.path, env=extra)
    assert word_errors(CLIP.text, heard) < 0.1

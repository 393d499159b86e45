"""The page's cores, tested where they run: in JavaScript, by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WEB = ROOT / "gateway" / "web"
SUITES = sorted(HERE.glob("*.test.mjs"))


def _node() -> str:
    """Return a node that has a test runner, or skip."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"node 20 is needed, this is {version.strip()}")
    return node


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name.split(".")[0])
def test_suite(suite):
    """Every test of the suite passes, and there is at least one."""
    command = [_node(), "--test", "--test-reporter=tap", str(suite)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nok 1 - " in done.stdout


def test_suites_are_found():
    """The suites lie where they are looked for, so that none can be lost by a rename."""
    assert {path.name for path in SUITES} >= {
        "resampler.test.mjs",
        "session.test.mjs",
        "connection.test.mjs",
        "resume.test.mjs",
        "transcript.test.mjs",
    }


FORBIDDEN = ("http://", "https://", "innerHTML", "insertAdjacentHTML", "outerHTML", "eval(", " style=", " onclick=")
HARMLESS = ("http://www.w3.org/2000/svg", "https:// addresses")


def _forbidden(folder):
    """Return what must not stand in the page's files, with the file in which it stands, for all files below a folder."""
    found = []
    for path in (path for path in sorted(folder.rglob("*")) if path.is_file()):
        text = path.read_text()
        for harmless in HARMLESS:
            text = text.replace(harmless, "")
        found += [f"{path.relative_to(folder)}: {word}" for word in FORBIDDEN if word in text]
    return found


def test_page_asks_nobody_else():
    """No file of the page names another host, holds inline code or style, or parses text as HTML."""
    assert _forbidden(WEB) == []


@pytest.mark.parametrize("word", FORBIDDEN)
def test_page_asks_nobody_else_in_any_folder(tmp_path, word):
    """What is forbidden is found however deep the file lies."""
    folder = tmp_path / "room" / "inner"
    folder.mkdir(parents=True)
    (folder / "planted.js").write_text(f"const planted = '{word}';\n")
    assert _forbidden(tmp_path) == [f"room/inner/planted.js: {word}"]

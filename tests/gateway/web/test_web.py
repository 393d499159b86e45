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


def test_page_asks_nobody_else():
    """No file of the page names another host, holds inline code or style, or parses text as HTML."""
    for path in WEB.iterdir():
        text = path.read_text()
        addresses = text.replace("http://www.w3.org/2000/svg", "").replace("https:// addresses", "")
        for forbidden in ("http://", "innerHTML", "insertAdjacentHTML", "outerHTML", "eval(", " style=", " onclick="):
            assert forbidden not in addresses, f"{path.name} has {forbidden}"
        assert "https://" not in addresses, f"{path.name} names an address"

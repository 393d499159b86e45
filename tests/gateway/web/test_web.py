"""The page's files, and its modules tested in JavaScript by node's own test runner."""

import re
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
    """Every file that uses node's test runner is one of the suites, so that none can be lost by a rename."""
    assert sorted(path for path in HERE.rglob("*.*js") if '"node:test"' in path.read_text()) == SUITES
    assert len(SUITES) > 6


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


def test_page_loads_nothing_from_elsewhere():
    """No file of the page names another host, holds inline code or style, or parses text as HTML."""
    assert _forbidden(WEB) == []


@pytest.mark.parametrize("word", FORBIDDEN)
def test_what_is_forbidden_is_found_in_any_folder(tmp_path, word):
    """Each forbidden word is found in a folder within a folder."""
    folder = tmp_path / "room" / "inner"
    folder.mkdir(parents=True)
    (folder / "planted.js").write_text(f"const planted = '{word}';\n")
    assert _forbidden(tmp_path) == [f"room/inner/planted.js: {word}"]


IMPORT = re.compile(r"""(?:from|import\(|import) ?"([^"]+)\"""")
REFERENCE = re.compile(r"""(?:src=|href=|new URL\()"([\w./-]+\.\w+)\"""")


def test_every_part_is_where_it_is_asked_for():
    """Every module, style sheet and worklet that a file of the page names lies where the name leads."""
    named = {
        (path, reference)
        for path in WEB.rglob("*")
        if path.suffix in (".js", ".html")
        for reference in IMPORT.findall(path.read_text()) + REFERENCE.findall(path.read_text())
    }
    assert (WEB / "audio" / "microphone.js", "recorder-worklet.js") in named
    assert [pair for pair in named if not (pair[0].parent / pair[1]).is_file()] == []


PAGE_ONLY = re.compile(
    r"\b(document|window|navigator|location|history|screen|localStorage|sessionStorage|indexedDB|customElements|alert"
    r"|confirm|prompt|Audio\w+|\w*Observer|(?:HTML|SVG)?\w*Element|querySelector\w*|getElement\w+)\b"
)
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)


def _page_only(folder):
    """Return what the modules of a folder import from outside of it, and which names of a browser's page they use."""
    found = []
    for path in sorted(folder.rglob("*.js")):
        code = COMMENT.sub("", path.read_text())
        outside = [name for name in IMPORT.findall(code) if not re.fullmatch(r"\./[\w-]+\.js", name)]
        found += [f"{path.name}: {name}" for name in [*outside, *PAGE_ONLY.findall(code)]]
    return found


def test_session_needs_no_page():
    """The modules of a session import only each other and touch no document: any other page, or node, can use them."""
    assert len(list((WEB / "session").iterdir())) > 5
    assert _page_only(WEB / "session") == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('import { Controls } from "../page/controls.js";', "../page/controls.js"),
        ('const { Controls } = await import("../page/controls.js");', "../page/controls.js"),
        ('import "https://elsewhere.example/module.js";', "https://elsewhere.example/module.js"),
        ('  return document.getElementById("x").hidden;', "document"),
        ("  globalThis.sessionStorage.clear();", "sessionStorage"),
        ("new AudioContext();", "AudioContext"),
        ("new ResizeObserver(act);", "ResizeObserver"),
    ],
)
def test_session_that_needs_a_page_is_found(tmp_path, line, name):
    """Each way to need a page is found; the same name in a comment is not."""
    (tmp_path / "planted.js").write_text(f"/** Not in a document. */\n{line} // no window\n")
    assert _page_only(tmp_path)[0] == f"planted.js: {name}"
    (tmp_path / "planted.js").write_text(f"/* {line} */\n")
    assert _page_only(tmp_path) == []

from pathlib import Path

from tests.conftest import ALONE, COMPUTING, LONG, scope, turn

TESTS = Path(__file__).parent


def test_every_name_still_names_files():
    """A file that is renamed does not lose its place in the order unnoticed."""
    files = [str(file.relative_to(TESTS.parent)) for file in TESTS.rglob("test_*.py")]
    for name in (*ALONE, *LONG, *COMPUTING):
        assert [file for file in files if file.startswith(name)], name


def test_what_starts_several_real_workers_or_a_browser_runs_alone():
    """Of the system tests those with real weights or with Chromium run one after the other, whatever they are called."""
    for file in (TESTS / "system").glob("test_*.py"):
        text = file.read_text()
        if "tiny.en" in text or "real_server" in text or "chromium" in text:
            assert scope(f"tests/system/{file.name}::test") == "alone", file.name


def test_a_file_stays_together():
    """Tests of one file have one scope and one turn: what runs alone comes first, then the long, and at last what computes."""
    assert scope("tests/shared/test_wire.py::test_a[x::y]") == "tests/shared/test_wire.py"
    files = ("system/test_page_real.py", "peers/test_peers.py", "system/test_faults.py", "shared/test_wire.py")
    turns = [turn(f"tests/{file}::test_a") for file in (*files, "gpu_worker/test_stream.py")]
    assert turns == sorted(set(turns))

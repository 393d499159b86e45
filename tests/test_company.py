from pathlib import Path

from tests.conftest import GREEDY, HUNGRY, company, turn

TESTS = Path(__file__).parent


def test_every_name_still_names_files():
    """A file that is renamed does not leave its place among those that need the machine for themselves unnoticed."""
    files = [str(file.relative_to(TESTS.parent)) for file in TESTS.rglob("test_*.py")]
    for name in (*GREEDY, *HUNGRY):
        assert [file for file in files if file.startswith(name)], name


def test_what_starts_several_real_workers_or_a_browser_is_greedy():
    """Of the system tests those with real weights or with Chromium run one after the other, whatever they are called."""
    for file in (TESTS / "system").glob("test_*.py"):
        text = file.read_text()
        if "tiny.en" in text or "supervised import" in text or "real_server" in text or "chromium" in text:
            assert company(f"tests/system/{file.name}::test") == "greedy", file.name


def test_a_file_stays_together():
    """Tests of one file have one company and one turn; greedy ones come first, and what computes comes last."""
    assert company("tests/shared/test_wire.py::test_a[x::y]") == "tests/shared/test_wire.py"
    assert [
        turn(f"tests/{file}::test_a")
        for file in ("system/test_page_real.py", "system/test_faults.py", "gpu_worker/test_stream.py")
    ] == [0, 1, 2]

"""The page while something goes wrong, by the numbers of the faults and of what newcomers met: its modules in node."""

import re
import subprocess
from pathlib import Path

from tests.gateway.web import test_web

HERE = Path(__file__).parent


def run_named(suite: str, number: str) -> int:
    """Run the suite's tests whose names begin with a number such as ``fault 24``, and return how many have passed."""
    command = [test_web._node(), "--test", "--test-reporter=tap", f"--test-name-pattern=^{number}:", str(HERE / suite)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=test_web.ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return len([line for line in done.stdout.splitlines() if re.match(rf"ok \d+ - {number}:(?!.*# SKIP)", line)])


def test_newcomer_08_stamps_follow_their_segments():
    """A paragraph's time is corrected when the segment's start is. Relatives: the final's start; after a reload."""
    assert run_named("view.test.mjs", "newcomer 8") == 1


def test_fault_24_capture_that_dies_is_told():
    """A microphone that gives nothing is told within 5 s, until blocks come.

    Relatives: suspended from the start, or `interrupted`; blocks that stop; a device that mutes itself, with silence or
    with nothing; a `resume()` that is rejected; a computer that slept.
    """
    assert run_named("capture.test.mjs", "fault 24") == 5

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpu_worker.model.checkpoint.download import Deadlines, exclusive, publish, run_watched
from shared.errors import ModelUnavailableError

ROOT = Path(__file__).parents[4]


def run(tmp_path, code, *, stall_s=20.0, total_s=60.0, report=lambda _: None):
    argv = [sys.executable, "-c", code, str(tmp_path / "got")]
    deadlines = Deadlines(stall_s=stall_s, total_s=total_s)
    run_watched(argv, folder=tmp_path / "got", deadlines=deadlines, report=report)


def test_a_download_that_dries_up_is_ended(tmp_path):
    """A command that stops half-way is ended, and is dead when the error arrives."""
    code = (
        "import os, sys, time; f = open(sys.argv[1] + '/half', 'wb', 0);"
        "f.write(b'x' * 999); open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    )
    seen = []
    with pytest.raises(ModelUnavailableError, match="nothing arrived"):
        run(tmp_path, code, stall_s=1.5, report=seen.append)
    assert max(seen) >= 999
    assert not Path(f"/proc/{(tmp_path / 'got/pid').read_text()}").exists()


def test_a_trickle_meets_the_overall_bound(tmp_path):
    """A command that goes on writing a byte now and then is ended by the overall bound."""
    code = "import sys, time; f = open(sys.argv[1] + '/drops', 'wb', 0)\nwhile True: f.write(b'x'); time.sleep(0.1)"
    with pytest.raises(ModelUnavailableError, match="longer than 1 s"):
        run(tmp_path, code, total_s=1.0)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('trying'); sys.exit('no route to anywhere')", "^no route to anywhere$"),
        ("import os; os.kill(os.getpid(), 9)", "-9, without a word"),
    ],
    ids=["its last line", "its status"],
)
def test_a_failure_has_its_reason(tmp_path, code, reason):
    """A command that fails is quoted with the last line it wrote, one killed without output with its status."""
    with pytest.raises(ModelUnavailableError, match=reason):
        run(tmp_path, code)


def test_progress_is_reported(tmp_path):
    """The bytes that have arrived are reported in steps, up to all of them."""
    code = (
        "import sys, time; f = open(sys.argv[1] + '/f', 'wb', 0)\n"
        "for _ in range(4): f.write(b'x' * 1000); time.sleep(0.4)"
    )
    seen = []
    run(tmp_path, code, report=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 4000
    assert len(seen) >= 3


def fail_inside(cache, *, inside=None, leave=None):
    with exclusive(cache, "m") as folder:
        (folder / "half").write_bytes(b"x")
        if inside and leave:
            inside.set()
            leave.wait(10)
        raise ModelUnavailableError("no route")


def test_folder_is_gone_whatever_happens(tmp_path):
    """The folder to work in is removed after success and after an error."""
    with exclusive(tmp_path, "m") as folder:
        (folder / "half").write_bytes(b"x")
    with pytest.raises(ModelUnavailableError, match="no route"):
        fail_inside(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".m.lock"]


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    """A folder left by a killed process goes with the next one's; another model's stays."""
    for name in (".m.fetch-dead", ".other.fetch-busy"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "half.pt").write_bytes(b"x")
    with exclusive(tmp_path, "m"):
        assert not (tmp_path / ".m.fetch-dead").exists()
    assert (tmp_path / ".other.fetch-busy").exists()


def test_one_process_at_a_time(tmp_path):
    """Of four processes at once no two are ever inside together, and all get their turn."""
    code = (
        "import os, pathlib, sys, time\n"
        f"from {exclusive.__module__} import {exclusive.__name__} as exclusive\n"
        "cache = pathlib.Path(sys.argv[1])\n"
        "with exclusive(cache, 'm'):\n"
        "    os.close(os.open(cache / 'inside', os.O_CREAT | os.O_EXCL)); time.sleep(0.2); os.unlink(cache / 'inside')\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]


def test_failure_is_shared_with_those_who_waited(tmp_path):
    """A caller that waited for one that failed gets its reason at once; a later try starts afresh."""
    inside, leave, outcomes = threading.Event(), threading.Event(), []

    def fail():
        with pytest.raises(ModelUnavailableError):
            fail_inside(tmp_path, inside=inside, leave=leave)

    def wait():
        try:
            with exclusive(tmp_path, "m"):
                outcomes.append("went in")
        except ModelUnavailableError as error:
            outcomes.append(str(error))

    first, second = threading.Thread(target=fail), threading.Thread(target=wait)
    first.start()
    inside.wait(10)
    second.start()
    # The kernel lists who waits for a lock behind an arrow.
    inode = str((tmp_path / ".m.lock").stat().st_ino)
    deadline_s = time.monotonic() + 10
    while not any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    leave.set()
    first.join()
    second.join()
    assert outcomes == ["no route"]
    wait()
    assert outcomes == ["no route", "went in"]


def test_publish_replaces_in_one_step(tmp_path):
    """A published file takes its name whole, also over an older one."""
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old, and longer")
    publish(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"new"
    assert not (tmp_path / "new").exists()

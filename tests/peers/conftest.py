import pytest

from gpu_worker.model import load_recognizer
from gpu_worker.model.checkpoint.locate import default_cache_dir
from tests.scripts.conftest import speech
from tests.system.conftest import start_server

__all__ = ["speech", "start_server"]


@pytest.fixture(scope="module")
def server(start_server):
    """Give two workers with four slots each, whose logs hold all there is."""
    return start_server(workers=2, JOURNAL_S="35", RESUME_GRACE_S="2", LOG_LEVEL="debug")


@pytest.fixture(scope="module")
def slow(start_server):
    """Give one worker whose every step takes longer than a worker may be silent."""
    return start_server(workers=1, JOURNAL_S="35", RESUME_GRACE_S="2", WORKER_LOST_S="1", recognizer={"step_s": 1.3})


@pytest.fixture(scope="module")
def model():
    """Give ``tiny.en`` as a worker computes it on this machine."""
    made = load_recognizer("tiny.en", cache_dir=default_cache_dir(), device="cpu", threads=1)
    made.load()
    return made

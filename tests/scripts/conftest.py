import pytest

from tests.scripts.scripted_server import encode


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Give a WAV file of 1.05 s at 16 kHz mono."""
    return encode(tmp_path_factory.mktemp("media") / "speech.wav", "pcm_s16le", rate=16_000, samples=16_800)

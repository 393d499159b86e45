import pytest

from tests.scripts.conftest import speech as speech  # noqa: PLC0414 - a fixture
from tests.scripts.scripted_server import tone


@pytest.fixture
def alsa(tmp_path, monkeypatch):
    """Give ALSA a sound card that plays a recording into its microphone, and no default one."""
    (tmp_path / "tape.raw").write_bytes(tone(48_000, 48_000, channels=2))
    tape = f'type file slave.pcm {{ type null }} file /dev/null infile "{tmp_path}/tape.raw" format raw'
    (tmp_path / "alsa.conf").write_text(f"pcm.tape {{ {tape} }}\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))

"""What scripts/serve checks before it starts anything."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.server.foreground import page_url
from scripts.server.supervise import check_port, fetch_model, hold, make_run_dir
from shared.settings import WorkerSettings
from tests.system.server import run


@pytest.mark.parametrize(("name", "value"), [("PORT", "eighty"), ("GPU_WORKERS", "0"), ("DEVICE", "tpu")])
def test_wrong_setting(tmp_path, name, value):
    """A wrong setting, the gateway's or a worker's, ends the start with 3 and a sentence that names it."""
    env = os.environ | {"RUN_DIR": str(tmp_path / "run"), name: value}
    done = run([sys.executable, "-m", "scripts.server.supervise"], env=env)
    assert done.returncode == 3
    assert f"{name}='{value}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_dir_is_private(tmp_path):
    """The run directory is made with mode 0700, below the clone when it is relative."""
    run_dir = make_run_dir(Path("run"), tmp_path)
    assert run_dir == tmp_path / "run"
    assert run_dir.stat().st_mode & 0o777 == 0o700


def test_run_dir_of_others(tmp_path, capsys):
    """A directory that others can read is refused and left as it is."""
    (tmp_path / "of").mkdir(mode=0o755)
    (tmp_path / "of").chmod(0o755)
    with pytest.raises(SystemExit) as error:
        make_run_dir(tmp_path / "of", tmp_path)
    assert error.value.code == 3
    assert "0700" in capsys.readouterr().err
    assert (tmp_path / "of").stat().st_mode & 0o777 == 0o755


def test_long_run_dir_holds_sockets(tmp_path, monkeypatch):
    """Below a clone with a long path the sockets get a short directory, the same one at each start."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/tmp/wl{os.getpid()}")
    root = tmp_path / ("long" * 30)
    run_dir = make_run_dir(Path("run"), root)
    try:
        assert make_run_dir(Path("run"), root) == run_dir
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(run_dir / "supervisor.sock.4194304"))  # supervisord binds name.pid, then renames
        assert run_dir.stat().st_mode & 0o777 == 0o700
        assert make_run_dir(Path("run"), tmp_path / ("other" * 30)) != run_dir
    finally:
        subprocess.run(["rm", "-r", f"/tmp/wl{os.getpid()}"], check=True)


def test_hold_is_exclusive(tmp_path):
    """The run directory is held by one at a time, and free again when the holder is gone."""
    guard = hold(tmp_path)
    with pytest.raises(SystemExit) as error:
        hold(tmp_path)
    assert error.value.code == 1
    guard.close()
    hold(tmp_path).close()


def test_port_in_use(capsys):
    """A port that is taken ends the start with a sentence that names it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as error:
            check_port("127.0.0.1", port)
    assert error.value.code == 1
    assert f"PORT={port}" in capsys.readouterr().err
    check_port("127.0.0.1", port)


def test_host_of_another_machine(capsys):
    """A HOST that is no address of this machine is named."""
    with pytest.raises(SystemExit):
        check_port("192.0.2.1", 8000)
    assert "HOST='192.0.2.1'" in capsys.readouterr().err


def test_model_that_is_there_is_not_fetched(tmp_path):
    """Weights in the cache or at a path are taken without a look inside, which is the workers' part."""
    (tmp_path / "tiny.en.pt").write_bytes(b"")
    cached = WorkerSettings.defaults(model_cache_dir=str(tmp_path))
    assert fetch_model(cached, on_gpu=False) == "tiny.en"
    path = str(tmp_path / "tiny.en.pt")
    assert fetch_model(WorkerSettings.defaults(whisper_model=path), on_gpu=True) == path


def test_cuda_takes_the_larger_default(tmp_path):
    """Where there is a GPU the default is large-v3-turbo, unless the workers are told to use the CPU."""
    for name in ("tiny.en", "large-v3-turbo"):
        (tmp_path / f"{name}.pt").write_bytes(b"")
    cache = str(tmp_path)
    assert fetch_model(WorkerSettings.defaults(model_cache_dir=cache), on_gpu=True) == "large-v3-turbo"
    assert fetch_model(WorkerSettings.defaults(model_cache_dir=cache, device="cpu"), on_gpu=True) == "tiny.en"


def test_unknown_model_ends_the_start(tmp_path, capfd):
    """A model that cannot be had ends the start with 3, and its name is in the sentence."""
    settings = WorkerSettings.defaults(model_cache_dir=str(tmp_path), whisper_model="no-such-model")
    with pytest.raises(SystemExit) as error:
        fetch_model(settings, on_gpu=False)
    assert error.value.code == 3
    assert "WHISPER_MODEL='no-such-model'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("127.0.0.1", 8000), "http://127.0.0.1:8000/"),
        (("0.0.0.0", 8001), "http://127.0.0.1:8001/"),
        (("::1", 8000), "http://[::1]:8000/"),
        (("example.org", 80), "http://example.org:80/"),
    ],
)
def test_page_url(address, url):
    """The page's address is one that a browser on this machine can open."""
    assert page_url(address) == url

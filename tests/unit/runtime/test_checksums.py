"""Checksums that read a file once, and again only when it changed."""

import os

import pytest

from twostage.runtime import checksums as module
from twostage.runtime.artifacts import sha256_file
from twostage.runtime.checksums import checksums


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in "ab":
        (tmp_path / "pictures" / name).write_text(name)
        # Written long ago, so that what is known of it may be kept.
    monkeypatch.setattr(module, "TICK_SECONDS", 0)
    return tmp_path / "pictures"


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are hashed, as they are."""
    names = []
    monkeypatch.setattr(module, "sha256_file", lambda path: (names.append(path.name), sha256_file(path))[1])
    return names


def test_a_file_is_read_once(folder, read):
    first = checksums(folder, ["a", "b"])
    assert first == {name: sha256_file(folder / name) for name in "ab"}
    assert checksums(folder, ["a", "b"]) == first
    assert checksums(folder, ["b"]) == {"b": first["b"]}
    assert read == ["a", "b"]


def test_a_file_replaced_by_one_with_its_size_and_times_is_read_again(folder):
    before = checksums(folder, ["a"])
    status = os.stat(folder / "a")
    (folder / "other").write_text("c")
    os.utime(folder / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(folder / "other", folder / "a")
    assert checksums(folder, ["a"]) != before
    assert checksums(folder, ["a"])["a"] == sha256_file(folder / "a")


def test_a_file_changed_in_place_with_its_old_time_is_read_again(folder):
    before = checksums(folder, ["a"])
    status = os.stat(folder / "a")
    with open(folder / "a", "r+") as file:
        file.write("x")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert checksums(folder, ["a"]) != before


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 3}', "{"])
def test_what_was_kept_may_be_damaged(folder, content):
    expected = checksums(folder, ["a", "b"])
    for kept in (folder.parent / module.KEPT).iterdir():
        kept.write_text(content)
    assert checksums(folder, ["a", "b"]) == expected


def test_a_file_that_is_still_being_written_is_not_kept(folder, read, monkeypatch):
    monkeypatch.setattr(module, "TICK_SECONDS", 3600)
    checksums(folder, ["a"])
    checksums(folder, ["a"])
    assert read == ["a", "a"]

"""Paths that are typed: refused before anything is made, by every command that writes."""

import sys

import pytest

from twostage import __main__ as main
from twostage.commands.paths import writable, writable_file, writable_folder
from twostage.errors import TwostageError

# What cannot be written, and what is said of it. FILE is a file, DIR a folder.
WRONG = [
    ("", "is empty"),
    ("~nouser/x", "no home folder for ~nouser"),
    ("FILE/x.png", "FILE is no folder"),
    ("FILE/x/y.png", "FILE is no folder"),
    ("x" * 256 + ".png", "too long"),
    ("new/" + "x" * 256 + "/x.png", "too long"),
    ("x/" * 2100 + "x.png", "too long"),
    ("x\0.png", "NUL character"),
    ("link/x.png", "link is no folder"),
    ("\ud800.png", "names no file or folder"),
]
# Commands that write a folder, and what they need besides.
OF_FOLDERS = {
    "redraw": ("--out",),
    "release": ("name", "--prior", "DIR", "--out"),
    "page": ("--results",),
    "models": ("--results",),
    "claims": ("--results",),
    "released": ("--results",),
    "priors.import_released": ("--config", "FILE", "--checkpoint", "FILE", "--out"),
}
OF_FILES = {
    "sample": ("--model", "DIR", "--out"),
    "plan": ("--estimate", "--csv"),
    "priors.train": ("--log",),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "DIR.png").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path


def said_of(words, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["twostage", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 1
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize(("typed", "said"), WRONG)
@pytest.mark.parametrize("check", [writable, writable_file, writable_folder])
def test_what_cannot_be_written_is_said_in_one_line(place, check, typed, said):
    before = set(place.rglob("*"))
    with pytest.raises(TwostageError, match=said) as raised:
        check(typed)
    assert "\n" not in str(raised.value)
    assert set(place.rglob("*")) == before


def test_what_can_be_written_is_not_made(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    assert writable_file("~/new/x.png") == place / "new/x.png"
    assert writable_file("FILE").name == "FILE"
    assert writable_folder("DIR.png").name == "DIR.png"
    assert not (place / "new").exists()
    with pytest.raises(TwostageError, match="is a folder"):
        writable_file("DIR.png")
    # A file has a longer name until it is whole, a folder has not.
    with pytest.raises(TwostageError, match="too long for a file"):
        writable_file("x" * 230 + ".png")
    assert writable_folder("x" * 230).name == "x" * 230
    assert str(writable_file("/dev/null")) == "/dev/null"
    for path in ("FILE", "link"):
        with pytest.raises(TwostageError, match="is no folder"):
            writable_folder(path)


@pytest.mark.parametrize("typed", ["", "~nouser/x", "FILE", "FILE/x", "x" * 260])
@pytest.mark.parametrize("command", OF_FOLDERS)
def test_a_command_that_writes_a_folder_looks_first(place, monkeypatch, capfd, command, typed):
    before = set(place.rglob("*"))
    said_of((command, *OF_FOLDERS[command], typed), monkeypatch, capfd)
    assert set(place.rglob("*")) == before


@pytest.mark.parametrize("typed", ["", "~nouser/x.png", "FILE/x.png", "DIR.png", "x" * 260 + ".png"])
@pytest.mark.parametrize("command", OF_FILES)
def test_a_command_that_writes_a_file_looks_first(place, monkeypatch, capfd, command, typed):
    before = set(place.rglob("*"))
    said_of((command, *OF_FILES[command], typed), monkeypatch, capfd)
    assert set(place.rglob("*")) == before

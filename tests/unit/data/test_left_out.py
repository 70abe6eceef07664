"""Every file of a folder is used, or counted among those left out; and small folders, odd names and odd links."""

import logging
import os
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from twostage.config.schema import DataConfig
from twostage.data import check
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job

from .conftest import run
from .test_folder import add_maps, config_for, error_of, label_picture
from .test_folder_index import index_of, names_of

ROOT = Path(__file__).parents[3]


def left_out(prepared):
    return {reason: entry["count"] for reason, entry in prepared.metadata["left_out"].items()}


def files_below(folder):
    return [path for path in folder.rglob("*") if not path.is_dir()]


def used_and_left_out(prepared, num_maps=0):
    return sum(len(ids) for ids in prepared.ids.values()) + num_maps + sum(left_out(prepared).values())


def test_other_files_are_counted_by_their_reason(pictures, tmp_path, caplog):
    for number in range(50):
        (pictures / f"even/{number}.heic").write_bytes(b"ftypheic")
    (pictures / "odd/notes.txt").write_text("about these pictures")
    (pictures / "odd/picture").write_bytes(b"")
    (pictures / ".DS_Store").write_bytes(b"")
    (pictures / ".git/objects").mkdir(parents=True)
    (pictures / ".git/objects/a.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        prepared = run(config_for(pictures), tmp_path / "out")
    assert sorted(left_out(prepared).values()) == [1, 1, 2, 50]
    assert used_and_left_out(prepared) == len(files_below(pictures))
    entry = next(entry for reason, entry in prepared.metadata["left_out"].items() if ".heic" in reason)
    assert len(entry["first"]) == 5
    assert any("50" in line and ".heic" in line for line in caplog.messages)
    found, problems = check.check(config_for(pictures))
    assert any("50" in line and ".heic" in line for line in found)
    assert problems == []


def test_maps_that_nobody_asked_for_are_counted(pictures, tmp_path):
    add_maps(pictures, "depth", label_picture)
    add_maps(pictures, "segmentation", label_picture)
    Image.new("L", (48, 40)).save(pictures / "segmentation/even/of_nothing.png")
    prepared = run(config_for(pictures, maps=["segmentation"], num_labels=6), tmp_path / "out")
    assert sorted(left_out(prepared).values()) == [1, 30]
    assert used_and_left_out(prepared, num_maps=30) == len(files_below(pictures))


def test_what_lies_beside_images_is_counted(pictures, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(pictures, root / "images")
    shutil.copytree(pictures, root / "more")
    shutil.copytree(pictures, root / "edges")
    prepared = run(config_for(root), tmp_path / "out")
    assert left_out(prepared) == {"a map that data.maps does not name": 30, "a picture beside images/": 30}


def test_what_an_index_classes_or_copies_leave_out_is_counted(pictures, tmp_path):
    shutil.copy(pictures / "even/00.png", pictures / "even/00_again.png")
    names = names_of(pictures)[:27]
    config = config_for(pictures, index=index_of(tmp_path, names), classes=["even"], tune_images=8)
    prepared = run(config, tmp_path / "out")
    assert used_and_left_out(prepared) == 31


@pytest.mark.parametrize("name", ["edges", "depth", "segmentation"])
def test_a_class_named_as_a_map_does_not_vanish(pictures, tmp_path, name):
    shutil.copytree(pictures / "odd", pictures / name)
    line = error_of(config_for(pictures), tmp_path)
    assert str(pictures / name) in line
    assert str(pictures / "images") in line
    root = tmp_path / "root"
    shutil.move(pictures, root / "images")
    assert run(config_for(root), tmp_path / "told").metadata["classes"] == sorted(["even", "odd", name])


def test_classes_named_as_maps_alone_do_not_vanish(pictures, tmp_path):
    (pictures / "even").rename(pictures / "edges")
    (pictures / "odd").rename(pictures / "depth")
    assert "images" in error_of(config_for(pictures), tmp_path)


def test_dangling_links_are_no_traceback(pictures, tmp_path):
    (pictures / "even/.#00.png").symlink_to("someone@somewhere.1234:5678")
    (pictures / "even/notes").symlink_to("nowhere")
    (pictures / "even/circle").symlink_to("circle")
    prepared = run(config_for(pictures), tmp_path / "out")
    assert sum(left_out(prepared).values()) == 3
    for target in ("nowhere.png", "link.png"):
        (pictures / "even/link.png").symlink_to(target)
        assert "link.png is a link" in error_of(config_for(pictures), tmp_path / "again")
        (pictures / "even/link.png").unlink()


def test_a_pipe_is_not_read(pictures, tmp_path):
    os.mkfifo(pictures / "even/pipe.png")
    assert left_out(run(config_for(pictures), tmp_path / "out")) == {"neither a file nor a folder": 1}


def test_a_folder_that_cannot_be_listed_is_named(pictures, tmp_path, monkeypatch):
    whole = os.scandir

    def scandir(folder):
        if str(folder).endswith("odd"):
            raise PermissionError(13, "Permission denied", str(folder))
        return whole(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert f"{pictures}/odd cannot be listed (Permission denied)" in error_of(config_for(pictures), tmp_path)


def test_reasons_stand_beside_names_of_what_cannot_be_decoded(pictures, tmp_path, monkeypatch):
    (pictures / "even/00.png").write_bytes(b"")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (64, 64)).save(pictures / "odd/01.png")
    line = error_of(config_for(pictures), tmp_path)
    assert "even/00.png (the file is empty)" in line
    assert "exceeds limit of 2000" in line


def test_pictures_of_refused_modes_are_named_and_counted_before_anything_is_written(pictures, tmp_path):
    for number in (3, 5):
        Image.new("F", (48, 40)).save(pictures / f"odd/{number:02d}.tif")
    line = error_of(config_for(pictures), tmp_path)
    assert "odd/03.tif has floating-point numbers" in line
    assert "(2 such images)" in line
    assert line.split(" (2 such")[0] in check.check(config_for(pictures))[1][0]


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_map_of_the_upright_size_fits_a_turned_picture(pictures, tmp_path, orientation, suffix):
    add_maps(pictures, "depth", label_picture)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (pictures / "odd/03.png").unlink()
    Image.new("RGB", (48, 40)).save(pictures / f"odd/03.{suffix}", exif=exif)
    Image.new("L", (48, 40) if orientation == 1 else (40, 48)).save(pictures / "depth/odd/03.png")
    config = config_for(pictures, maps=["depth"])
    assert check.check(config)[1] == []
    run(config, tmp_path / "out")


@pytest.fixture
def accented(real_pictures, tmp_path):
    """Pictures whose names lie on the disk in the decomposed form, as macOS writes them."""
    root = tmp_path / "accented"
    folder = root / unicodedata.normalize("NFD", "café")
    folder.mkdir(parents=True)
    for number, picture in enumerate(real_pictures[:12]):
        picture.save(folder / unicodedata.normalize("NFD", f"é{number}.png"))
    return root


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("before", ["", "./"])
def test_an_index_of_another_system_finds_its_pictures(accented, tmp_path, form, encoding, before):
    names = [unicodedata.normalize(form, f"{before}café/é{number}.png") for number in range(10)]
    held_out = tmp_path / "held_out.txt"
    held_out.write_bytes("\r\n".join(names[:3]).encode(encoding))
    (tmp_path / "index.txt").write_bytes("\r\n".join(names).encode(encoding))
    config = config_for(accented, index=str(tmp_path / "index.txt"), validation_index=str(held_out), classes=["café"])
    prepared = run(config, tmp_path / "out")
    assert {split: len(ids) for split, ids in prepared.ids.items()} == {"validation": 3, "tune": 4, "train": 3}
    assert prepared.metadata["classes"] == ["café"]


def test_maps_in_another_unicode_form_are_found(accented, tmp_path):
    for number in range(12):
        path = accented / "depth" / "café" / unicodedata.normalize("NFC", f"é{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 40)).save(path)
    run(config_for(accented, maps=["depth"]), tmp_path / "out")


@pytest.fixture
def odd_names(pictures, tmp_path):
    """A folder, a picture, another file and an index whose names are no UTF-8."""
    root = tmp_path / os.fsdecode(b"root \xe9")
    pictures.rename(root)
    (root / "odd/01.png").rename(root / os.fsdecode(b"odd/\xff\xfe.png"))
    (root / os.fsdecode(b"odd/\xff.txt")).write_bytes(b"")
    (tmp_path / "index.txt").write_bytes(b"\n".join(os.fsencode(name) for name in names_of(root)))
    return root


def test_names_that_are_no_text_are_used(odd_names, tmp_path):
    prepared = run(config_for(odd_names, index=str(tmp_path / "index.txt")), tmp_path / "out")
    assert os.fsdecode(b"odd/\xff\xfe.png") in [name for ids in prepared.ids.values() for name in ids]
    assert used_and_left_out(prepared) == 31


@pytest.mark.parametrize("broken", [False, True])
def test_names_that_are_no_text_are_no_traceback_in_any_log(odd_names, tmp_path, broken):
    config = config_for(odd_names, index=str(tmp_path / "index.txt"))
    if broken:
        (odd_names / os.fsdecode(b"odd/\xff\xfe.png")).write_bytes(b"no picture")
    job = Job("data", "prepare", "mine", "smoke", asdict(config), {}, str(tmp_path / "out"), ["metadata.json"])
    write_json(tmp_path / "job.json", asdict(job))
    log = tmp_path / "log.txt"
    prepare_it = ["twostage", "data.prepare", "--config", str(tmp_path / "job.json"), "--log", str(log)]
    overrides = ["data=folder", f"data.root='{odd_names}'", "data.size=16"]
    for arguments in (prepare_it, ["twostage", "check", *overrides]):
        done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        assert done.returncode == int(broken)
        assert (b"cannot decode" in done.stderr + done.stdout) == broken
    assert "\\udcff" in log.read_text(encoding="utf-8")


@pytest.fixture
def sixty(real_pictures, tmp_path):
    root = tmp_path / "sixty"
    root.mkdir()
    for number in range(60):
        picture = real_pictures[number % 40]
        (picture if number < 40 else picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).save(root / f"{number}.png")
    return root


def test_splits_adapt_to_a_small_folder_and_say_so(sixty, tmp_path, caplog):
    config = config_for(sixty, tune_images=2000, validation_images=1000)
    with caplog.at_level(logging.WARNING):
        prepared = run(config, tmp_path / "out")
    assert {split: len(ids) for split, ids in prepared.ids.items()} == {"train": 48, "tune": 6, "validation": 6}
    assert prepared.metadata["splits_adapted"] == {
        "asked": {"tune_images": 2000, "validation_images": 1000},
        "taken": {"tune_images": 6, "validation_images": 6},
    }
    assert any("60 images are too few" in line and "6 for tuning" in line for line in caplog.messages)


def test_splits_of_a_folder_that_suffices_do_not_adapt(sixty, tmp_path):
    prepared = run(config_for(sixty, tune_images=30, validation_images=29), tmp_path / "out")
    assert len(prepared.ids["train"]) == 1
    assert "splits_adapted" not in prepared.metadata


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_smallest_folders(real_pictures, tmp_path, number):
    root = tmp_path / "few"
    root.mkdir()
    for position, picture in enumerate(real_pictures[:number]):
        picture.save(root / f"{position}.png")
    config = config_for(root, tune_images=2000, validation_images=1000)
    if number < 3:
        assert f"{number} images are too few; expected at least 3" in error_of(config, tmp_path)
    else:
        assert {len(ids) for ids in run(config, tmp_path / "out").ids.values()} == {1}


def test_a_class_that_nothing_is_trained_on_is_named(pictures, tmp_path, caplog):
    held_out = pictures / "rare/a.png"
    held_out.parent.mkdir()
    Image.new("RGB", (48, 40), "red").save(held_out)
    config = config_for(pictures, validation_index=index_of(tmp_path, ["rare/a.png", *names_of(pictures)[:3]]))
    with caplog.at_level(logging.WARNING):
        prepared = run(config, tmp_path / "out")
    assert prepared.metadata["classes_without_training"] == ["rare"]
    assert any("rare" in line and "train" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": ["edges", "edges"]}, "data.maps has edges twice"),
        ({"size": 0}, "data.size is 0"),
        ({"size": -5}, "data.size is -5"),
        ({"canny_sigma": 0.0}, "data.canny_sigma is 0.0"),
        ({"canny_sigma": float("nan")}, "data.canny_sigma is nan"),
        ({"label_offset": 300}, "data.label_offset is 300"),
        ({"class_ranges": [[3]]}, r"data.class_ranges has [3]"),
        ({"class_ranges": [[3, 1]]}, r"data.class_ranges has [3, 1]"),
        ({"tune_images": 0}, "data.tune_images is 0"),
        ({"validation_images": None}, "data.validation_images is None"),
    ],
)
def test_values_that_no_folder_can_fit_are_refused(pictures, tmp_path, changes, message):
    assert message in error_of(config_for(pictures, **changes), tmp_path)


def test_public_data_say_nothing_new(cifar10_whole):
    """Their metadata keys results that are committed."""
    assert set(read_json(cifar10_whole.folder / "metadata.json")) == {
        "name", "source", "size", "channels", "classes", "maps", "splits", "sources",
    }  # fmt: skip


def test_an_index_that_is_a_folder_is_one_line(pictures, tmp_path):
    config = config_for(pictures, index="even")
    assert isinstance(config, DataConfig)
    with pytest.raises(TwostageError, match="cannot be read"):
        check.check(config)

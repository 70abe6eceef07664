"""A user's own folder, of real pictures."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny

from twostage.data import check, folder
from twostage.data.prepare import prepare
from twostage.errors import TwostageError
from twostage.runtime.job import Job

from .conftest import config_of, run


def config_for(root, **changes):
    values = {"root": str(root), "size": 16, "tune_images": 4, "validation_images": 6} | changes
    return config_of("mine", "folder", **values)


def error_of(config, tmp_path) -> str:
    """The one line that the config earns; nothing may be written."""
    out = tmp_path / "out"
    with pytest.raises(TwostageError) as caught:
        prepare(config, Job("data", "prepare", "mine", "smoke", {}, {}, str(out), []))
    assert not out.exists() or list(out.iterdir()) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_folders_become_labels(pictures, tmp_path):
    prepared = run(config_for(pictures, size=20), tmp_path / "out")
    assert prepared.metadata["classes"] == ["even", "odd"]
    for split, count in {"train": 20, "tune": 4, "validation": 6}.items():
        image_NHWC, label_N = prepared.array(split, "image"), prepared.array(split, "label")
        assert image_NHWC.shape == (count, 20, 20, 3)
        for name, label, image_HWC in zip(prepared.ids[split], label_N, image_NHWC, strict=True):
            assert name.startswith(("even", "odd")[label])
            with Image.open(pictures / name) as picture:
                # 48x40: the shorter side is brought to 20, then 2 pixels go on the left and on the right.
                expected = picture.resize((24, 20), Image.Resampling.LANCZOS).crop((2, 0, 22, 20))
            np.testing.assert_array_equal(image_HWC, np.asarray(expected))


def test_a_folder_without_classes(real_pictures, tmp_path):
    root = tmp_path / "flat"
    root.mkdir()
    for position, picture in enumerate(real_pictures):
        picture.save(root / f"{position}.{('png', 'bmp', 'jpg', 'webp')[position % 4]}")
    prepared = run(config_for(root), tmp_path / "out")
    assert prepared.metadata["classes"] == []
    assert sum(len(ids) for ids in prepared.ids.values()) == 40
    assert set(prepared.array("train", "label")) == {0}


def test_pictures_may_lie_in_images(pictures, tmp_path):
    plain = run(config_for(pictures), tmp_path / "plain")
    (tmp_path / "root").mkdir()
    shutil.move(pictures, tmp_path / "root/images")
    nested = run(config_for(tmp_path / "root"), tmp_path / "nested")
    assert nested.ids == plain.ids
    assert nested.metadata == plain.metadata


def test_hidden_and_other_files_are_left_out(pictures, tmp_path):
    before = run(config_for(pictures), tmp_path / "before")
    (pictures / ".hidden").mkdir()
    (pictures / ".hidden/a.png").write_bytes(b"no picture")
    (pictures / "even/.DS_Store.png").write_bytes(b"no picture")
    (pictures / "even/README.txt").write_text("about these pictures")
    assert run(config_for(pictures), tmp_path / "after").ids == before.ids


def test_copies_of_an_image_do_not_leak(pictures, tmp_path):
    """The same picture under other names, and stored in another format."""
    for path in sorted(pictures.glob("even/*.png")):
        shutil.copy(path, pictures / "odd" / f"copy_{path.name}")
        with Image.open(path) as picture:
            picture.save(pictures / "odd" / f"again_{path.stem}.bmp")
    prepared = run(config_for(pictures), tmp_path / "out")
    train, tune, validation = (prepared.digests(split) for split in ("train", "tune", "validation"))
    assert not train & tune
    assert not train & validation
    assert not tune & validation
    assert sum(len(ids) for ids in prepared.ids.values()) < 60


def test_a_turned_photograph_is_turned_back(real_pictures, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for position, picture in enumerate(real_pictures[:12]):
        picture.save(root / f"{position}.png")
    upright = folder.collect(config_for(root))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(root / "0.png") as picture:
        # Orientation 6: the stored picture has to be turned by 270 degrees.
        picture.transpose(Image.Transpose.ROTATE_90).save(root / "0.png", exif=exif)
    turned = folder.collect(config_for(root))
    np.testing.assert_array_equal(turned.images(turned.records[:1]), upright.images(upright.records[:1]))


def test_every_undecodable_picture_is_named_at_once(pictures, tmp_path):
    (pictures / "even/00.png").write_bytes(b"not a picture at all")
    whole = (pictures / "odd/01.png").read_bytes()
    (pictures / "odd/01.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "odd/03.png").write_bytes(b"")
    line = error_of(config_for(pictures), tmp_path)
    assert line.startswith("cannot decode ")
    for name in ("even/00.png", "odd/01.png", "odd/03.png"):
        assert str(pictures / name) in line
    for position in range(5, 30, 2):
        (pictures / f"odd/{position:02d}.png").write_bytes(b"broken")
    assert "and 11 more (16 in all); replace or remove" in error_of(config_for(pictures), tmp_path)


def test_a_small_picture_is_named_with_both_sizes(pictures, tmp_path):
    Image.new("RGB", (100, 15)).save(pictures / "even/00.png")
    line = error_of(config_for(pictures), tmp_path)
    assert line == (
        f"{pictures}/even/00.png is 100x15, the crop 16x16; images are not enlarged: lower data.size or remove it"
    )
    assert "(30 such images)" in error_of(config_for(pictures, size=64), tmp_path)


def test_a_picture_of_just_the_size_is_enough(pictures, tmp_path):
    assert run(config_for(pictures, size=40), tmp_path / "out").metadata["size"] == 40


@pytest.mark.parametrize("root", [None, "nowhere"])
def test_a_missing_folder_says_what_to_bring(tmp_path, root):
    config = config_for("", maps=["depth"])
    config.root = root and str(tmp_path / root)
    line = error_of(config, tmp_path)
    assert "data.root" in line
    assert "you must bring the data of mine: put its pictures (at least 16x16) there" in line
    assert "depth/ with a map per picture" in line


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "empty/class").mkdir(parents=True)
    (tmp_path / "empty/class/notes.txt").write_text("no picture")
    assert f"{tmp_path}/empty has no pictures; you must bring the data of mine" in error_of(
        config_for(tmp_path / "empty"), tmp_path
    )


def test_pictures_beside_class_folders_are_an_error(pictures, tmp_path):
    shutil.copy(pictures / "even/00.png", pictures / "loose.png")
    assert "has pictures (loose.png) beside class sub-folders" in error_of(config_for(pictures), tmp_path)


def test_links_out_of_the_folder_are_refused(pictures, tmp_path):
    shutil.copy(pictures / "even/00.png", tmp_path / "outside.png")
    (pictures / "even/link.png").symlink_to(tmp_path / "outside.png")
    assert f"{pictures}/even/link.png is a link" in error_of(config_for(pictures), tmp_path)
    (pictures / "even/link.png").unlink()
    (pictures / "loop").symlink_to(pictures, target_is_directory=True)
    assert f"{pictures}/loop is a link" in error_of(config_for(pictures), tmp_path)


def add_maps(pictures, name, make, suffix=".png"):
    for position, path in enumerate(sorted(pictures.glob("*/*.png"))):
        target = pictures / name / path.relative_to(pictures).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        make(position, path).save(target)


def label_picture(position, path):
    label_HW = np.zeros((40, 48), np.uint8)
    label_HW[:, 4:24] = position % 5
    label_HW[:, 24:] = 5
    return Image.fromarray(label_HW)


def test_segmentation_is_cropped_as_the_image_and_never_mixed(pictures, tmp_path):
    add_maps(pictures, "segmentation", label_picture, ".bmp")
    prepared = run(config_for(pictures, maps=["segmentation"], num_labels=6), tmp_path / "out")
    assert prepared.metadata["classes"] == ["even", "odd"]
    order = [path.relative_to(pictures).as_posix() for path in sorted(pictures.glob("[eo]*/*.png"))]
    for name, label_HW1 in zip(prepared.ids["train"], prepared.array("train", "segmentation"), strict=True):
        np.testing.assert_array_equal(label_HW1[:, :8], order.index(name) % 5)
        np.testing.assert_array_equal(label_HW1[:, 8:], 5)


def test_a_palette_gives_its_indices(pictures, tmp_path):
    def palette_picture(position, path):
        picture = label_picture(position, path)
        picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9, 7, 7, 7, 1, 2, 3])
        return picture

    add_maps(pictures, "segmentation", palette_picture)
    prepared = run(config_for(pictures, maps=["segmentation"], num_labels=6), tmp_path / "out")
    assert set(np.unique(prepared.array("train", "segmentation"))) == {0, 1, 2, 3, 4, 5}


def test_a_label_that_is_too_large_is_named(pictures, tmp_path):
    add_maps(pictures, "segmentation", label_picture)
    line = error_of(config_for(pictures, maps=["segmentation"], num_labels=5), tmp_path)
    assert "has the label 5; data.num_labels=5 allows 0 to 4" in line
    assert str(pictures / "segmentation") in line


def test_coloured_segmentation_is_refused(pictures, tmp_path):
    add_maps(pictures, "segmentation", lambda position, path: Image.new("RGB", (48, 40)))
    line = error_of(config_for(pictures, maps=["segmentation"], num_labels=5), tmp_path)
    assert "is a RGB picture; expected label ids" in line


def test_depth_of_8_and_16_bits(pictures, tmp_path):
    def depth_picture(position, path):
        if position % 2:
            return Image.fromarray(np.full((40, 48), 200 * 257, np.uint16))
        return Image.new("L", (48, 40), 200)

    add_maps(pictures, "depth", depth_picture)
    prepared = run(config_for(pictures, maps=["depth"]), tmp_path / "out")
    assert set(np.unique(prepared.array("train", "depth"))) == {200}
    depth = prepared.metadata["maps"]["depth"]
    assert (depth["channels"], depth["kind"]) == (1, "grey")


def test_edges_are_made_where_there_is_no_folder_of_them(pictures, tmp_path):
    prepared = run(config_for(pictures, maps=["edges"]), tmp_path / "out")
    for image_HWC, edges_HW1 in zip(prepared.array("tune", "image"), prepared.array("tune", "edges"), strict=True):
        np.testing.assert_array_equal(edges_HW1[..., 0] == 255, canny(rgb2gray(image_HWC), sigma=1.0))


def test_edges_are_read_where_there_is_a_folder_of_them(pictures, tmp_path):
    add_maps(pictures, "edges", lambda position, path: Image.fromarray(np.eye(40, 48, 4, dtype=np.uint8) * 200))
    prepared = run(config_for(pictures, maps=["edges"], size=40), tmp_path / "out")
    np.testing.assert_array_equal(prepared.array("tune", "edges")[0, :, :, 0], np.eye(40, dtype=np.uint8) * 255)


@pytest.mark.parametrize("name", ["segmentation", "depth", "edges"])
def test_a_missing_map_names_its_image(pictures, tmp_path, name):
    add_maps(pictures, name, label_picture)
    (pictures / name / "odd/03.png").unlink()
    line = error_of(config_for(pictures, maps=[name], num_labels=6), tmp_path)
    assert line == (
        f"no map in {pictures}/{name} for {pictures}/odd/03.png; add {pictures}/{name}/odd/03.png or remove the image"
    )


def test_a_missing_folder_of_maps_is_named(pictures, tmp_path):
    line = error_of(config_for(pictures, maps=["depth"]), tmp_path)
    assert line.startswith(f"{pictures}/depth is missing; you must bring the data of mine")


def test_a_damaged_map_is_named(pictures, tmp_path):
    add_maps(pictures, "depth", label_picture)
    (pictures / "depth/odd/03.png").write_bytes(b"no picture")
    line = error_of(config_for(pictures, maps=["depth"]), tmp_path)
    assert line.startswith(f"a map cannot be decoded: {pictures}/depth/odd/03.png")


def test_a_map_of_another_size_is_named(pictures, tmp_path):
    add_maps(pictures, "depth", label_picture)
    Image.new("L", (20, 20)).save(pictures / "depth/odd/03.png")
    line = error_of(config_for(pictures, maps=["depth"]), tmp_path)
    assert line == f"{pictures}/depth/odd/03.png is 20x20, its image 48x40; a map must have the size of its image"


def test_two_maps_of_one_image_are_an_error(pictures, tmp_path):
    add_maps(pictures, "depth", label_picture)
    shutil.copy(pictures / "depth/odd/03.png", pictures / "depth/odd/03.bmp")
    assert "are maps of the same image; remove one" in error_of(config_for(pictures, maps=["depth"]), tmp_path)


def test_the_number_of_threads_changes_nothing(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = run(config_for(pictures), tmp_path / "one")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    four = run(config_for(pictures), tmp_path / "four")
    for name in os.listdir(one.folder):
        assert (one.folder / name).read_bytes() == (four.folder / name).read_bytes()


@pytest.mark.parametrize("value", ["4,2", " 4 ", "4", "0", "-1", "abc", "", ",", "4.5", "0,3", "1e3", "\u00b2"])
def test_threads_are_the_first_number_or_all_there_are(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    sizes = []

    class Pool(folder.ThreadPoolExecutor):
        def __init__(self, number):
            sizes.append(number)
            super().__init__(number)

    monkeypatch.setattr(folder, "ThreadPoolExecutor", Pool)
    assert folder.in_parallel(lambda number: number + 1, [1, 2, 3]) == [2, 3, 4]
    usual = min(8, os.cpu_count() or 1)
    assert sizes == [4 if value.strip().split(",")[0] == "4" else usual]


def test_no_map_serves_two_pictures(pictures, tmp_path, real_pictures):
    add_maps(pictures, "segmentation", label_picture)
    real_pictures[39].save(pictures / "even/00.jpg")
    line = error_of(config_for(pictures, maps=["segmentation"], num_labels=6), tmp_path)
    assert f"{pictures}/even/00.jpg and 00.png would have one map, {pictures}/segmentation/even/00.png; give" in line
    # Without maps, or with edges that are made, they are two pictures.
    assert len(folder.collect(config_for(pictures, maps=["edges"])).records) == 31


@pytest.mark.parametrize("name", ["depth", "image"])
def test_8_bits_stored_in_16_do_not_become_black(pictures, tmp_path, name):
    grey_HW = np.arange(40 * 48).reshape(40, 48) % 256

    def dark(position, path):
        return Image.fromarray(grey_HW.astype(np.uint16 if position == 4 else np.uint8))

    if name == "depth":
        add_maps(pictures, "depth", dark)
        config = config_for(pictures, maps=["depth"])
    else:
        dark(4, None).save(pictures / "even/04.png")
        config = config_for(pictures)
    assert "has no number above 255, so all of it would become black" in error_of(config, tmp_path)
    assert "has no number above 255" in check.check(config)[1][0]


def test_an_edge_detector_wider_than_any_picture_is_refused(pictures, tmp_path):
    line = error_of(config_for(pictures, maps=["edges"], canny_sigma=1e9), tmp_path)
    assert "data.canny_sigma is 1000000000.0; set a number from" in line

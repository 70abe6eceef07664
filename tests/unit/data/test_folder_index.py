"""Parts of a folder: index files, held-out lists, ranges of classes, ids of labels."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from twostage.data import check, folder
from twostage.errors import TwostageError

from .conftest import run
from .test_folder import add_maps, config_for, error_of, label_picture


def index_of(tmp_path, names, name="index.txt"):
    path = tmp_path / name
    path.write_text("\n".join(names) + "\n")
    return str(path)


def names_of(pictures):
    return [path.relative_to(pictures).as_posix() for path in sorted(pictures.glob("[eo]*/*.png"))]


def test_an_index_says_which_pictures_are_used(pictures, tmp_path):
    wanted = names_of(pictures)[3:20]
    prepared = run(config_for(pictures, index=index_of(tmp_path, wanted)), tmp_path / "out")
    assert sorted(name for ids in prepared.ids.values() for name in ids) == wanted


def test_a_validation_index_is_the_validation_split(pictures, tmp_path):
    wanted = names_of(pictures)[::5]
    config = config_for(pictures, validation_index=index_of(tmp_path, wanted), validation_images=None)
    prepared = run(config, tmp_path / "out")
    assert sorted(prepared.ids["validation"]) == wanted
    assert len(prepared.ids["train"]) == 30 - 6 - 4


def test_with_both_only_what_they_name_is_used(pictures, tmp_path):
    train, held_out = names_of(pictures)[:15], names_of(pictures)[20:24]
    lists = {"index": index_of(tmp_path, train), "validation_index": index_of(tmp_path, held_out, "held_out.txt")}
    prepared = run(config_for(pictures, **lists), tmp_path / "out")
    assert sorted(prepared.ids["validation"]) == held_out
    assert sorted(prepared.ids["train"] + prepared.ids["tune"]) == train


def test_missing_pictures_of_an_index_are_counted(pictures, tmp_path):
    index = index_of(tmp_path, [*names_of(pictures)[:9], *(f"even/x{i}.png" for i in range(7))])
    line = error_of(config_for(pictures, index=index), tmp_path)
    assert line.startswith("the index names even/x0.png, even/x1.png, ")
    assert "and 2 more (7 in all)" in line


@pytest.mark.parametrize(
    ("content", "named"),
    [("", "is empty"), ("even/00.png\n\neven/00.png\n", "names even/00.png twice"), (None, "cannot be read")],
)
def test_an_index_that_says_nothing_is_refused(pictures, tmp_path, content, named):
    if content is not None:
        (tmp_path / "list.txt").write_text(content)
    line = error_of(config_for(pictures, index=str(tmp_path / "list.txt")), tmp_path)
    assert f"data.index={tmp_path}/list.txt {named}" in line


def by_class(tmp_path, real_pictures, number):
    root = tmp_path / "classes"
    for position, picture in enumerate(real_pictures[: 3 * number]):
        (root / f"n{position % number:02d}").mkdir(parents=True, exist_ok=True)
        picture.save(root / f"n{position % number:02d}/{position}.png")
    return root


def test_ranges_take_their_classes_out_of_all(tmp_path, real_pictures):
    config = config_for(by_class(tmp_path, real_pictures, 8), class_ranges=[[1, 2], [5, 5]])
    assert folder.collect(config).classes == ["n01", "n02", "n05"]


def test_a_folder_of_just_the_ranges_classes_is_taken_whole(tmp_path, real_pictures):
    config = config_for(by_class(tmp_path, real_pictures, 3), class_ranges=[[1, 2], [5, 5]])
    assert folder.collect(config).classes == ["n00", "n01", "n02"]


def test_a_folder_that_cannot_hold_the_ranges_is_refused(tmp_path, real_pictures):
    config = config_for(by_class(tmp_path, real_pictures, 4), class_ranges=[[1, 2], [5, 5]])
    line = error_of(config, tmp_path)
    assert "has 4 class sub-folders; data.class_ranges expects either just its 3 classes, or all classes" in line


def test_an_offset_makes_unlabelled_pixels_label_0(pictures, tmp_path):
    """COCO-Stuff: labels 0 to 181, 255 where there is none."""

    def shifted(position, path):
        return Image.fromarray(np.asarray(label_picture(position, path)) - np.uint8(1))

    add_maps(pictures, "segmentation", label_picture)
    plain = run(config_for(pictures, maps=["segmentation"], num_labels=6), tmp_path / "plain")
    add_maps(pictures, "segmentation", shifted)
    config = config_for(pictures, maps=["segmentation"], num_labels=6, label_offset=1)
    offset = run(config, tmp_path / "offset")
    np.testing.assert_array_equal(offset.array("train", "segmentation"), plain.array("train", "segmentation"))
    config.label_offset = 0
    assert "has the label 255; data.num_labels=6 allows 0 to 5" in error_of(config, tmp_path)


def test_a_map_lies_as_its_photograph_does(pictures, tmp_path):
    """A photograph with an EXIF turn is upright when it is used; a map of its stored, lying pixels is not its map."""
    add_maps(pictures, "depth", label_picture)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(pictures / "odd/03.png") as picture:
        picture.save(pictures / "odd/03.png", exif=exif)
    line = error_of(config_for(pictures, maps=["depth"]), tmp_path)
    assert line == f"{pictures}/depth/odd/03.png is 48x40, its image 40x48; a map must have the size of its image"


@pytest.mark.parametrize("text", ["", " ", "   "])
@pytest.mark.parametrize(("key", "said"), [("root", "is not set"), ("index", "empty"), ("validation_index", "empty")])
def test_a_path_of_no_text_is_not_the_current_folder(pictures, tmp_path, monkeypatch, text, key, said):
    monkeypatch.chdir(pictures)
    line = error_of(replace(config_for(pictures), **{key: text}), tmp_path)
    assert f"data.{key} is" in line
    assert said in line


@pytest.mark.parametrize("key", ["root", "index", "validation_index"])
def test_a_user_without_a_home_folder_is_one_line(pictures, tmp_path, key):
    line = error_of(replace(config_for(pictures), **{key: "~no_such_user/x"}), tmp_path)
    assert "no home folder for ~no_such_user" in line


@pytest.mark.parametrize(
    ("class_ranges", "said"),
    [
        ([[0, 0], [0, 0]], "[0, 0] and [0, 0], which share class 0"),
        ([[5, 7], [0, 5]], "[0, 5] and [5, 7], which share class 5"),
        ([[0, 7], [2, 3]], "[0, 7] and [2, 3], which share class 2"),
        ([[0]], "[0]; expected [first, last]"),
        ([[]], "[]; expected [first, last]"),
        ([[0, 1, 2]], "[0, 1, 2]; expected [first, last]"),
        ([[-1, 0]], "[-1, 0]; expected [first, last]"),
    ],
)
def test_ranges_that_are_none_or_overlap_are_refused(tmp_path, real_pictures, class_ranges, said):
    config = config_for(by_class(tmp_path, real_pictures, 8), class_ranges=class_ranges)
    for work in (folder.collect, check.check):
        with pytest.raises(TwostageError, match=re.escape(said)):
            work(config)


@pytest.mark.parametrize(
    ("key", "number", "said"),
    [
        ("validation_index", 30, "data.validation_index leaves 0 of 30 pictures for train and tune"),
        ("validation_index", 29, "data.validation_index leaves 1 of 30 pictures for train and tune"),
        ("index", 2, "data.index leaves 2 of 30 pictures for train, tune and validation"),
    ],
)
def test_an_index_that_leaves_too_few_is_named_as_the_cause(pictures, tmp_path, key, number, said):
    config = config_for(pictures, **{key: index_of(tmp_path, names_of(pictures)[:number])})
    assert said in error_of(config, tmp_path)
    with pytest.raises(TwostageError, match=said):
        check.check(config)


def test_held_out_pictures_of_other_classes_than_the_ranges_are_refused(pictures, tmp_path):
    held_out = [name for name in names_of(pictures) if name.startswith("odd")][:3]
    config = config_for(pictures, class_ranges=[[0, 0]], validation_index=index_of(tmp_path, held_out))
    assert "none of the 3 pictures that data.validation_index names is of a class" in error_of(config, tmp_path)

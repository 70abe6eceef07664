"""What a local copy lacks, on copies made of real pictures; and that docs/datasets.md says what conf/data says."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from twostage.commands import check as command
from twostage.config import composition
from twostage.config.composition import compose, parse
from twostage.config.schema import DataConfig
from twostage.data import cards, check
from twostage.errors import TwostageError

from .test_folder import add_maps, config_for, label_picture
from .test_keypoints import coco, write_pictures

ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(monkeypatch):
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")


def problems(config):
    return check.check(config)[1]


def mapped(pictures, **changes):
    return config_for(pictures, maps=["segmentation"], num_labels=6, **changes)


def test_a_whole_copy_has_no_problem(pictures):
    add_maps(pictures, "segmentation", label_picture)
    found, wrong = check.check(mapped(pictures))
    assert found == [f"30 pictures in {pictures}", f"30 maps in {pictures}/segmentation"]
    assert wrong == []


def test_every_problem_is_a_line_that_names_and_counts(pictures):
    def odd(position, path):
        if position == 3:
            return Image.new("L", (7, 7))
        picture = label_picture(position, path)
        return Image.eval(picture, lambda label: 9) if position in (5, 6, 8) else picture

    add_maps(pictures, "segmentation", odd)
    (pictures / "even/00.png").write_bytes(b"no picture")
    Image.new("RGB", (15, 15)).save(pictures / "odd/29.png")
    lines = problems(mapped(pictures))
    assert lines[0].startswith(f"cannot decode {pictures}/even/00.png (")
    assert lines[1] == f"smaller than data.size=16: {pictures}/odd/29.png"
    assert re.search(r"segmentation/even/06\.png is 7x7, its image 48x40; .* \(5 such maps\)$", lines[2])


def test_labels_out_of_range_are_named(pictures):
    add_maps(pictures, "segmentation", label_picture)
    (line,) = problems(config_for(pictures, maps=["segmentation"], num_labels=5))
    assert re.search(r"00\.png has the label 5; data\.num_labels=5 allows 0 to 4.* \(30 such maps\)$", line)


def test_missing_maps_are_named_and_counted(pictures):
    add_maps(pictures, "segmentation", label_picture)
    for path in sorted((pictures / "segmentation/odd").iterdir())[:8]:
        path.unlink()
    (line,) = problems(mapped(pictures))
    assert f"for {pictures}/odd/01.png, {pictures}/odd/03.png, " in line
    assert "and 3 more (8 in all)" in line
    shutil.rmtree(pictures / "segmentation")
    assert "segmentation is missing" in problems(mapped(pictures))[0]


def test_poses_are_looked_for_in_the_keypoint_file(tmp_path):
    write_pictures(tmp_path)
    config = config_for(tmp_path, maps=["pose"])
    assert re.search(r"keypoints\.json is missing; .*COCO's", problems(config)[0])
    tree = coco()
    (tmp_path / "keypoints.json").write_text(json.dumps(tree))
    found, wrong = check.check(config)
    assert found == [f"24 pictures in {tmp_path}/images", f"poses of 24 pictures in {tmp_path}/keypoints.json"]
    assert wrong == []
    for number in (3, 7):
        tree["images"][number]["width"] = 99
    (tmp_path / "keypoints.json").write_text(json.dumps(tree))
    (tmp_path / "images/07.png").write_bytes(b"no picture")
    # What cannot be decoded has no size that could be wrong.
    damaged, odd = problems(config)
    assert damaged.startswith(f"cannot decode {tmp_path}/images/07.png (")
    assert odd.endswith("says that 03.png is 99x20, but it is 24x20; correct width and height")


def config_of_card(name, root, **changes):
    config = parse(DataConfig, compose((f"data={name}", "scale=smoke"))["data"] | {"root": str(root)} | changes)
    config.size = 16
    return config


def test_a_part_of_ffhq_names_the_first_missing_pictures(repository, tmp_path, real_pictures):
    for number, picture in enumerate(real_pictures[:9]):
        if number != 2:
            (tmp_path / "00000").mkdir(exist_ok=True)
            picture.save(tmp_path / f"00000/{number:05d}.png")
    (line,) = problems(config_of_card("ffhq", tmp_path))
    assert line == "missing pictures: 00002, 00009, 00010, 00011, 00012 and 69987 more (69992 in all)"


def test_a_part_of_ade20k_needs_its_maps_and_folders(repository, tmp_path, real_pictures):
    (tmp_path / "images/training").mkdir(parents=True)
    real_pictures[0].save(tmp_path / "images/training/ADE_train_00000001.jpg")
    config = config_of_card("ade20k", tmp_path)
    with pytest.raises(TwostageError, match=r"data\.validation_index=validation\.txt cannot be read"):
        check.check(config)
    config.validation_index = None
    lines = problems(config)
    assert lines[0] == f"missing folders: {tmp_path}/images/validation"
    assert "missing pictures: ADE_train_00000002, " in lines[1]
    assert "(22209 in all)" in lines[1]
    assert f"{tmp_path}/segmentation is missing" in lines[2]


def test_imagenet_is_counted_by_its_classes(repository, pictures):
    (line,) = problems(config_of_card("imagenet", pictures))
    assert line == f"2 class sub-folders in {pictures}, expected 1000"


def test_data_that_come_by_themselves_have_nothing_to_check(repository):
    with pytest.raises(TwostageError, match="is downloaded by python -m twostage fetch"):
        check.check(parse(DataConfig, compose(("data=cifar10",))["data"]))


@pytest.mark.parametrize(("broken", "status"), [(False, None), (True, 1)])
def test_the_command_line_says_it_all(repository, pictures, monkeypatch, capsys, broken, status):
    if broken:
        (pictures / "even/00.png").write_bytes(b"no picture")
    arguments = ["data=folder", f"data.root={pictures}", "data.size=16"]
    monkeypatch.setattr(sys, "argv", ["check", *arguments])
    if status is None:
        command.main()
    else:
        with pytest.raises(SystemExit) as stopped:
            command.main()
        assert stopped.value.code == status
    printed = capsys.readouterr().out
    assert f"30 pictures in {pictures}" in printed
    assert ("problem: cannot decode" in printed) == broken
    assert ("is a whole copy" in printed) != broken


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_ranges": [[0]]}, "data.class_ranges has [0]"),
        ({"label_offset": 999}, "data.label_offset is 999"),
        ({"maps": ["edges", "edges"]}, "data.maps has edges twice"),
        ({"maps": ["segmentation"], "num_labels": None}, "data.num_labels is None"),
        ({"size": 0}, "data.size is 0"),
        ({"classes": ["cat"]}, "data.classes has cat; expected different classes from: even, odd"),
        ({"classes": ["odd", "odd"]}, "data.classes has odd, odd"),
        ({"tune_images": 0}, "data.tune_images is 0"),
    ],
)
def test_values_that_prepare_refuses_make_no_whole_copy(pictures, changes, said):
    try:
        (line,) = problems(config_for(pictures, **changes))
    except TwostageError as error:
        line = str(error)
    assert said in line


def test_a_folder_of_too_few_pictures_is_no_whole_copy(pictures):
    for path in names_below(pictures)[2:]:
        path.unlink()
    (line,) = problems(config_for(pictures))
    assert line.startswith("2 images are too few")


def names_below(pictures):
    return sorted(pictures.glob("*/*.png"))


def brought():
    """Configs of data that a user brings, of the papers."""
    for path in sorted((ROOT / "conf/data").glob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if config["source"] == "folder" and path.stem != "folder":
            yield path.stem, config


def test_every_dataset_of_the_papers_has_a_card_and_a_config():
    assert {name for name, _ in brought()} == set(cards.CARDS)
    for name, config in brought():
        assert config["name"] == name


def test_the_document_is_that_of_the_cards_and_configs(repository):
    assert (ROOT / "docs/datasets.md").read_text() == cards.document()


def test_label_counts_are_those_of_the_released_code():
    counts = {name: (config.get("num_labels"), config.get("label_offset", 0)) for name, config in brought()}
    assert (counts["ade20k"], counts["coco_stuff"], counts["s_flckr"]) == ((151, 0), (183, 1), (182, 0))


def test_the_ranges_of_restricted_imagenet_are_those_on_its_card():
    (config,) = [config for name, config in brought() if name == "restricted_imagenet"]
    card = cards.CARDS["restricted_imagenet"]
    assert sum(last - first + 1 for first, last in config["class_ranges"]) == card.num_classes
    printed = {tuple(map(int, pair)) for pair in re.findall(r"(\d+)-(\d+)", card.notes[0])}
    assert {tuple(pair) for pair in config["class_ranges"]} == printed

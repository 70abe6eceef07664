"""COCO's keypoints as a map of labels, cropped as the pictures are; other formats are one line."""

import json

import numpy as np
import pytest
from PIL import Image

from twostage.config.schema import POSE_LABELS
from twostage.data.keypoints import LIMB, MIRRORED, Poses, pose_map, read_keypoints
from twostage.errors import TwostageError

from .conftest import config_of, run


def person(*points):
    """17 keypoints, of which those given as (number, x, y) are labelled."""
    keypoints = np.zeros((17, 3))
    for number, x, y in points:
        keypoints[number] = (x, y, 2)
    return keypoints


def test_the_config_knows_how_many_labels_a_pose_has():
    assert POSE_LABELS == LIMB + 1


def test_a_keypoint_lies_where_the_crop_puts_it():
    # 40 wide, 20 high: ten pixels go left and right, and 20 become 40.
    poses = Poses((40, 20), [person((0, 20, 10), (5, 12, 4))])
    label_HW = pose_map(poses, 40)
    assert label_HW.dtype == np.uint8
    assert label_HW[20, 20] == 1
    assert label_HW[8, 4] == 6
    # A nose and a shoulder are joined by nothing.
    assert not (label_HW == LIMB).any()
    assert (label_HW > 0).mean() < 0.05


def test_joined_keypoints_have_a_limb_between_them_and_unseen_ones_have_not():
    label_HW = pose_map(Poses((32, 32), [person((5, 4, 4), (7, 4, 28))]), 32)
    assert label_HW[16, 4] == LIMB
    assert set(np.unique(label_HW)) == {0, 6, 8, LIMB}
    hidden = person((5, 4, 4), (7, 4, 28))
    hidden[7, 2] = 0
    assert set(np.unique(pose_map(Poses((32, 32), [hidden]), 32))) == {0, 6}


def write_pictures(root, number=24, size=(24, 20)):
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for at in range(number):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(root / f"images/{at:02d}.png")


def coco(number=24, size=(24, 20)):
    people = [person((0, at % 20 + 1, 5), (5, 10, 10), (6, 14, 10), (11, 10, 16)) for at in range(number)]
    images = [{"id": at, "file_name": f"{at:02d}.png", "width": size[0], "height": size[1]} for at in range(number)]
    annotations = [{"image_id": at, "keypoints": one.ravel().tolist()} for at, one in enumerate(people)]
    return {"images": images, "annotations": annotations}


def config_for(root):
    return config_of("poses", "folder", root=str(root), size=16, tune_images=4, validation_images=6, maps=["pose"])


def test_a_folder_with_keypoints_has_a_map_of_poses(tmp_path):
    write_pictures(tmp_path / "root")
    (tmp_path / "root/keypoints.json").write_text(json.dumps(coco()))
    prepared = run(config_for(tmp_path / "root"), tmp_path / "out")
    assert prepared.metadata["maps"]["pose"]["channels"] == 19
    assert prepared.metadata["maps"]["pose"]["kind"] == "labels"
    pose = prepared.array("train", "pose")
    assert pose.shape == (14, 16, 16, 1)
    # Every picture has its own: the nose moves with the picture's number.
    for name, label_HW1 in zip(prepared.ids["train"], pose, strict=True):
        nose = ((int(name[:2]) % 20 + 1 - 2) * 0.8, 5 * 0.8)
        rows, columns = np.nonzero(label_HW1[..., 0] == 1)
        assert abs(rows.mean() - nose[1]) < 1.5
        assert abs(columns.mean() - np.clip(nose[0], 0, 15)) < 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.pop("annotations"), "is not a keypoint file .*annotations.*expected COCO's"),
        (lambda tree: tree["annotations"][0].update(keypoints=[1, 2, 3]), "3 numbers for a person"),
        (lambda tree: tree["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "not a finite number"),
        (lambda tree: tree["annotations"][0].update(image_id=999), "is not a keypoint file .*999"),
        (lambda tree: tree["images"].pop(3), "is not a keypoint file|does not list"),
        (lambda tree: tree["images"][3].update(width=99), r"says that 03\.png is 99x20, but it is 24x20"),
        (lambda tree: tree["images"][3].update(file_name="x.png"), r"does not list .*03\.png"),
    ],
)
def test_a_keypoint_file_that_does_not_fit_is_one_line_and_nothing_is_written(tmp_path, change, message):
    write_pictures(tmp_path / "root")
    tree = coco()
    change(tree)
    (tmp_path / "root/keypoints.json").write_text(json.dumps(tree))
    with pytest.raises(TwostageError, match=message) as caught:
        run(config_for(tmp_path / "root"), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_missing_or_foreign_file_says_what_is_expected(tmp_path):
    with pytest.raises(TwostageError, match=r"keypoints\.json is missing; .*expected COCO's"):
        read_keypoints(tmp_path / "keypoints.json")
    for text in ("[[1, 2], [3, 4]]", "{broken"):
        (tmp_path / "keypoints.json").write_text(text)
        with pytest.raises(TwostageError, match="is not a keypoint file"):
            read_keypoints(tmp_path / "keypoints.json")


def test_in_a_mirror_left_and_right_change_places_and_nothing_else():
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(19))
    # Background, nose and limbs stay; COCO's left eye and right ankle are 2 and 17.
    assert list(MIRRORED[[0, 1, 18]]) == [0, 1, 18]
    assert (MIRRORED[2], MIRRORED[17]) == (3, 16)


def _second_id(tree):
    tree["images"][3]["id"] = tree["images"][2]["id"]


def _second_name(tree):
    tree["images"].append({"id": 99, "file_name": "02.png", "width": 24, "height": 20})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_second_id, r"has two images with the id 2, 02\.png and 03\.png; give each"),
        (_second_name, r"lists 02\.png twice; keep one entry"),
        (lambda tree: tree["images"].append(dict(tree["images"][0])), "two images with the id 0"),
        (lambda tree: tree["images"][3].update(file_name=None), "file_name is None, not a text.*expected COCO's"),
        (lambda tree: tree["images"][3].update(file_name=7), "file_name is 7, not a text"),
        (lambda tree: tree["images"][3].update(file_name=["a"]), r"file_name is \['a'\], not a text"),
        (lambda tree: tree["images"][3].update(id=[1]), "is not a keypoint file .TypeError"),
    ],
)
def test_entries_that_could_be_of_two_pictures_are_refused(tmp_path, change, message):
    tree = coco()
    change(tree)
    (tmp_path / "keypoints.json").write_text(json.dumps(tree))
    with pytest.raises(TwostageError, match=message) as caught:
        read_keypoints(tmp_path / "keypoints.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opening", ["[", '{"images":', '{"images": [', '{"a":'])
def test_a_file_of_too_many_levels_is_one_line(tmp_path, opening):
    (tmp_path / "keypoints.json").write_text(opening * 100_000)
    with pytest.raises(TwostageError, match="is not a keypoint file"):
        read_keypoints(tmp_path / "keypoints.json")

"""Class labels and coordinates as conditions: they pair with the images' latents like any other."""

from dataclasses import replace

import numpy as np
import pytest

from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes, coordinates_sha256
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.latents.plain import PlainConfig, plain
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job

CLASSES = ["cat", "dog", "frog"]


def write_data(folder, classes=CLASSES, largest=2):
    rng = np.random.default_rng(0)
    splits = {}
    for split, number in (("train", 7), ("tune", 4), ("validation", 5)):
        label_N = rng.integers(0, 3, number)
        label_N[0] = largest
        write_array(folder / f"{split}_label.npy", label_N)
        splits[split] = {"num_images": number, "manifest_sha256": split}
    write_json(folder / "metadata.json", {"name": "d", "size": 16, "classes": classes, "splits": splits})


def run(tmp_path, **changes):
    config = PlainConfig(**{"map": "class", "flips": True, "train_images": 6, "validation_images": 3, **changes})
    job = Job("latents", "plain", "d.class", "smoke", {}, {"data": str(tmp_path / "data")}, str(tmp_path / "out"),
              VERBS["latents.plain"].files)  # fmt: skip
    plain(config, job)
    return job.folder


def known_as(folder):
    """The tokens of latents but for what they mean."""
    return replace(open_latents(folder).tokens, tokenizer_sha256=None)


def test_a_class_is_one_token_the_same_for_a_mirrored_image(tmp_path):
    write_data(tmp_path / "data")
    folder = run(tmp_path)
    label_N = read_array(tmp_path / "data/train_label.npy")[:6]
    train = read_array(folder / "train_index.npy")
    assert train.shape == (12, 1, 1)
    assert train.dtype == np.uint16
    assert np.array_equal(train[:, 0, 0], np.concatenate([label_N, label_N]))
    # Held-out splits are never mirrored.
    assert len(read_array(folder / "validation_index.npy")) == 3
    assert known_as(folder) == TokenSpace(3, (1, 1), map="class")
    assert read_json(folder / "metadata.json")["classes"] == CLASSES


def test_coordinates_are_those_of_the_place_for_every_image(tmp_path):
    write_data(tmp_path / "data")
    folder = run(tmp_path, map="coordinates", factor=4, num_codes=50)
    codes = read_array(folder / "train_index.npy")
    assert codes.shape == (12, 4, 4)
    assert (codes == coordinate_codes((4, 4), 4, 50)).all()
    assert known_as(folder) == TokenSpace(50, (4, 4), map="coordinates")


def test_it_pairs_with_the_latents_of_the_same_images(tmp_path):
    write_data(tmp_path / "data")
    folder = run(tmp_path)
    metadata = read_json(folder / "metadata.json")
    write_json(tmp_path / "image/metadata.json", metadata | {"map": "image", "num_codes": 9, "grid": [4, 4]})
    assert open_latents(tmp_path / "image", folder).tokens.condition == open_latents(folder).tokens
    with pytest.raises(TwostageError, match="flips"):
        open_latents(tmp_path / "image", run(tmp_path, flips=False))


def test_classes_mean_the_same_by_their_names_and_order_alone(tmp_path):
    def meaning(classes=CLASSES, size=16, **changes):
        write_data(tmp_path / "data", classes=classes)
        metadata = read_json(tmp_path / "data/metadata.json")
        write_json(tmp_path / "data/metadata.json", metadata | {"size": size, "name": "again"})
        return open_latents(run(tmp_path, **changes)).tokens.tokenizer_sha256

    assert meaning() == meaning(size=32) == meaning(flips=False, train_images=4, validation_images=2)
    assert len({meaning(), meaning(["cat", "dog", "bird"]), meaning(CLASSES[::-1]), meaning([*CLASSES, "bird"])}) == 4


def test_coordinates_mean_the_same_by_their_formula_alone(tmp_path):
    def meaning(factor, num_codes, size=16):
        metadata = read_json(tmp_path / "data/metadata.json")
        write_json(tmp_path / "data/metadata.json", metadata | {"size": size})
        folder = run(tmp_path, map="coordinates", factor=factor, num_codes=num_codes)
        return open_latents(folder).tokens.tokenizer_sha256

    write_data(tmp_path / "data")
    assert meaning(4, 50) == meaning(4, 50, size=32) == coordinates_sha256(4, 50)
    assert len({meaning(factor, num_codes) for factor in (2, 4) for num_codes in (50, 60)}) == 4


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ({"classes": []}, {}, "dataset d has no classes; put its pictures into one sub-folder per class"),
        ({"largest": 3}, {}, "labels are .* to 3, but the dataset has 3 classes"),
        ({}, {"map": "mood"}, "latents.plain makes class and coordinates, got mood"),
    ],
)
def test_what_is_no_condition_is_one_line(tmp_path, data, changes, message):
    write_data(tmp_path / "data", **data)
    with pytest.raises(TwostageError, match=message):
        run(tmp_path, **changes)

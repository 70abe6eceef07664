"""The prepared datasets, on the real data."""

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.feature import canny

from twostage.data import cifar10, fashion_mnist
from twostage.data.prepare import prepare
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array, sha256_file, sha256_json
from twostage.runtime.job import Job
from twostage.sources.fetch import obtain

from .conftest import config_of, run

SPLITS = ("train", "tune", "validation")


def test_cifar10_is_whole(cifar10_whole):
    counts = {split: len(cifar10_whole.ids[split]) for split in SPLITS}
    assert counts == {"train": 49500, "tune": 500, "validation": 10000}
    for split in SPLITS:
        image_NHWC = cifar10_whole.array(split, "image")
        assert image_NHWC.shape == (counts[split], 32, 32, 3)
        assert image_NHWC.dtype == np.uint8
        assert isinstance(image_NHWC, np.memmap)
        assert cifar10_whole.array(split, "label").shape == (counts[split],)
        assert cifar10_whole.array(split, "label").dtype == np.int64
    assert cifar10_whole.metadata["classes"] == cifar10.CLASSES
    assert set(cifar10_whole.metadata["sources"]) == {
        "train_image.npy",
        "train_label.npy",
        "test_image.npy",
        "test_label.npy",
    }


def test_splits_share_no_bytes(cifar10_whole, fashion):
    for prepared in (cifar10_whole, fashion):
        train, tune, validation = (prepared.digests(split) for split in SPLITS)
        assert not train & tune
        assert not train & validation
        assert not tune & validation


def test_ids_lead_back_to_the_official_images(cifar10_whole):
    paths = obtain("cifar10").paths
    official = {name: read_array(paths[f"{name}_image.npy"]) for name in ("train", "test")}
    labels = {name: read_array(paths[f"{name}_label.npy"]) for name in ("train", "test")}
    for split in SPLITS:
        for row in (0, 1, 77, -1):
            name, position = cifar10_whole.ids[split][row].split("/")
            np.testing.assert_array_equal(cifar10_whole.array(split, "image")[row], official[name][int(position)])
            assert cifar10_whole.array(split, "label")[row] == labels[name][int(position)]
            assert name == ("test" if split == "validation" else "train")


def test_the_first_images_are_an_unbiased_choice(cifar10_whole):
    for split in ("train", "validation"):
        counts = np.bincount(cifar10_whole.array(split, "label")[:1000], minlength=10)
        assert counts.min() > 70
        assert counts.max() < 130


def test_a_subset_of_classes_keeps_every_image_in_its_split(cifar10_whole, cifar10_horses):
    for split in SPLITS:
        whole = cifar10_whole.ids[split]
        labels = cifar10_whole.array(split, "label")
        kept = [name for name, label in zip(whole, labels, strict=True) if cifar10.CLASSES[label] in ("horse", "bird")]
        assert cifar10_horses.ids[split] == kept
    assert cifar10_horses.metadata["classes"] == ["horse", "bird"]
    labels = cifar10_horses.array("validation", "label")
    np.testing.assert_array_equal(np.bincount(labels), [1000, 1000])
    row = int(np.flatnonzero(labels == 0)[0])
    whole_row = cifar10_whole.ids["validation"].index(cifar10_horses.ids["validation"][row])
    assert cifar10.CLASSES[cifar10_whole.array("validation", "label")[whole_row]] == "horse"


def test_edges_are_cannys(cifar10_horses):
    image_NHWC, edges_NHW1 = cifar10_horses.array("tune", "image"), cifar10_horses.array("tune", "edges")
    assert edges_NHW1.shape == (*image_NHWC.shape[:3], 1)
    assert set(np.unique(edges_NHW1)) == {0, 255}
    for image_HWC, edges_HW1 in zip(image_NHWC[:20], edges_NHW1[:20], strict=True):
        np.testing.assert_array_equal(edges_HW1[..., 0] == 255, canny(rgb2gray(image_HWC), sigma=1.0))
    maps = cifar10_horses.metadata["maps"]
    assert {name: (entry["channels"], entry["kind"]) for name, entry in maps.items()} == {
        "image": (3, "colour"),
        "edges": (1, "binary"),
    }
    stored = cifar10_horses.folder / "tune_edges.npy"
    assert maps["edges"]["sha256"]["tune"] == sha256_file(stored)


def test_fashion_mnist_is_padded_and_has_its_layout(fashion):
    assert {split: len(fashion.ids[split]) for split in SPLITS} == {"train": 59500, "tune": 500, "validation": 10000}
    official = fashion_mnist.read_idx(obtain("fashion_mnist").paths["t10k-images-idx3-ubyte"])
    image_NHWC, layout_NHW1 = fashion.array("validation", "image"), fashion.array("validation", "segmentation")
    labels = fashion.array("validation", "label")
    for row in range(50):
        position = int(fashion.ids["validation"][row].split("/")[1])
        for channel in range(3):
            np.testing.assert_array_equal(image_NHWC[row, 2:-2, 2:-2, channel], official[position])
        assert image_NHWC[row].sum() == 3 * int(official[position].sum())
        assert set(np.unique(layout_NHW1[row])) == {0, labels[row] + 1}
        np.testing.assert_array_equal(layout_NHW1[row, :, :, 0] > 0, image_NHWC[row, :, :, 0] > 0)
    assert set(np.unique(layout_NHW1)) == set(range(11))
    segmentation = fashion.metadata["maps"]["segmentation"]
    assert (segmentation["channels"], segmentation["kind"]) == (11, "labels")


def test_manifests_are_hashed(cifar10_whole):
    for split in SPLITS:
        entry = cifar10_whole.metadata["splits"][split]
        assert entry["num_images"] == len(cifar10_whole.ids[split])
        assert entry["manifest_sha256"] == sha256_json(cifar10_whole.ids[split])


def test_fashion_mnist_as_it_is_lacks_the_padding_alone(tmp_path, fashion):
    bare = run(config_of("fashion_mnist_28", "fashion_mnist", size=28), tmp_path)
    image_NHWC, padded_NHWC = bare.array("validation", "image"), fashion.array("validation", "image")
    assert bare.ids["validation"] == fashion.ids["validation"]
    assert image_NHWC.shape[1:] == (28, 28, 3)
    assert np.array_equal(image_NHWC[:50], padded_NHWC[:50, 2:-2, 2:-2])


def test_preparing_again_gives_the_same_bytes(tmp_path, fashion):
    again = run(config_of("fashion_mnist", "fashion_mnist", maps=["segmentation"], num_labels=11), tmp_path)
    for path in fashion.folder.iterdir():
        assert sha256_file(path) == sha256_file(again.folder / path.name), path.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "cifar100"}, "data.source is 'cifar100'; expected cifar10, fashion_mnist or folder"),
        ({"size": 64}, "data.size is 64; the images of cifar10 are 32x32: set data.size=32"),
        (
            {"source": "fashion_mnist", "size": 64},
            "data.size is 64; fashion_mnist has 28x28 pixels, or 32x32 with padding",
        ),
        ({"classes": ["bird", "unicorn"]}, "data.classes has unicorn; expected different classes from: airplane"),
        ({"classes": ["bird", "bird"]}, "data.classes has bird, bird; expected different classes"),
        ({"maps": ["normals"]}, "data.maps has 'normals'; expected edges, segmentation, depth or pose"),
        ({"maps": ["depth"]}, "cifar10 has no depth; only edges can be made from it"),
        ({"maps": ["segmentation"]}, "data.num_labels is None; segmentation needs the number of labels"),
        (
            {"source": "fashion_mnist", "maps": ["segmentation"], "num_labels": 10},
            "data.num_labels is 10; the layout of fashion_mnist has 11 labels",
        ),
        ({"tune_images": 0}, "data.tune_images is 0; expected at least 1"),
        ({"tune_images": 50000}, "are too few for 10000 validation images, 50000 tune images"),
    ],
)
def test_a_wrong_config_is_one_line_and_writes_nothing(tmp_path, changes, message):
    config = config_of("mine", changes.pop("source", "cifar10"), **changes)
    with pytest.raises(TwostageError, match=message) as caught:
        prepare(config, Job("data", "prepare", "mine", "smoke", {}, {}, str(tmp_path / "out"), []))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x08", "not an idx file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an idx file"),
        (b"\x00\x00\x08\x03\x00\x00", "not an idx file"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "has 3 values, its header says 5"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, content, message):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(TwostageError, match=message):
        fashion_mnist.read_idx(tmp_path / "labels")

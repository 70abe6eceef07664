"""Maps made of a prepared dataset's images; what makes them may be missing."""

import numpy as np
import pytest
import torch
from torch import nn

from twostage.data import networks
from twostage.data.annotate import AnnotateConfig, annotate
from twostage.data.maps import canny_edges
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array, read_json, sha256_file, write_array, write_json
from twostage.runtime.job import Job
from twostage.tokenizers.task import MapData


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    splits = {}
    for split, number in (("train", 70), ("tune", 3), ("validation", 4)):
        coarse = rng.integers(0, 256, (number, 4, 4, 3))
        write_array(tmp_path / f"data/{split}_image.npy", coarse.repeat(4, 1).repeat(4, 2).astype(np.uint8))
        splits[split] = {"num_images": number, "manifest_sha256": split}
    facts = {"name": "d", "source": "folder", "size": 16, "classes": [], "splits": splits}
    write_json(tmp_path / "data/metadata.json", facts)
    return tmp_path / "data"


def run(data, **config):
    out = data.parent / "out"
    annotate(AnnotateConfig(**config), Job("data", "annotate", "d.x", "smoke", {}, {"data": str(data)}, str(out), []))
    return out


def test_low_resolution_is_the_mean_of_blocks_and_a_dataset_that_tokenizers_read(data):
    out = run(data, map="low_resolution", factor=4)
    image = read_array(data / "train_image.npy")
    found = read_array(out / "train_low_resolution.npy")
    # Every block is of one colour.
    assert np.array_equal(found, image[:, ::4, ::4])
    metadata = read_json(out / "metadata.json")
    assert metadata["maps"]["low_resolution"]["sha256"]["train"] == sha256_file(out / "train_low_resolution.npy")
    assert metadata["splits"] == read_json(data / "metadata.json")["splits"]
    opened = MapData.open(out, "low_resolution")
    assert (opened.kind, opened.num_channels, opened.train_NHWC.shape) == ("colour", 3, (70, 4, 4, 3))


def test_a_fraction_is_rounded_not_cut(data):
    write_array(data / "tune_image.npy", np.tile(np.array([[0, 1], [1, 1]], np.uint8)[..., None], (3, 8, 8, 3)))
    assert (read_array(run(data, map="low_resolution", factor=2) / "tune_low_resolution.npy") == 1).all()


def test_edges_are_those_of_canny(data):
    found = read_array(run(data, map="edges", canny_sigma=1.0) / "validation_edges.npy")
    assert np.array_equal(found[..., 0], canny_edges(read_array(data / "validation_image.npy"), 1.0))
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"map": "low_resolution", "factor": 5}, "low_resolution_factor=5 does not divide images of 16x16"),
        ({"map": "low_resolution", "factor": 1}, "set 2 or more"),
        ({"map": "pose"}, "got pose; put other maps"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_writes_nothing(data, config, message):
    with pytest.raises(TwostageError, match=message):
        run(data, **config)
    assert not (data.parent / "out").exists()


class Brightness(nn.Module):
    """In MiDaS's place: near is what is bright."""

    def forward(self, image_NCHW):
        return image_NCHW.mean(1)


def test_depth_comes_from_the_file_in_the_cache_stretched_per_image(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/weights").mkdir(parents=True)
    path = tmp_path / "cache/weights/model-small-traced.pt"
    torch.jit.script(Brightness()).save(str(path))
    out = run(data, map="depth")
    depth = read_array(out / "validation_depth.npy")
    assert depth.shape == (4, 16, 16, 1)
    assert ((depth.min((1, 2, 3)) == 0) & (depth.max((1, 2, 3)) == 255)).all()
    brightness = (read_array(data / "validation_image.npy") / 255 / networks.STD).mean(-1)
    assert np.corrcoef(depth[..., 0].ravel().astype(float), brightness.ravel())[0, 1] > 0.8
    weights = read_json(out / "metadata.json")["maps"]["depth"]["weights"]
    assert weights == {"file": path.name, "sha256": sha256_file(path)}


def test_missing_or_damaged_midas_says_where_to_put_it(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(TwostageError, match=r"put model-small-traced\.pt from https://.* into .*cache/weights/"):
        run(data, map="depth")
    (tmp_path / "cache/weights").mkdir(parents=True)
    (tmp_path / "cache/weights/model-small-traced.pt").write_bytes(b"no archive")
    with pytest.raises(TwostageError, match="is not a TorchScript file"):
        run(data, map="depth")
    assert not (tmp_path / "out").exists()


class Quadrants(nn.Module):
    """In DeepLab's place: label 0 on the left, 20 on the right."""

    def forward(self, image_NCHW):
        logits_NKHW = torch.zeros(len(image_NCHW), 21, *image_NCHW.shape[2:])
        logits_NKHW[:, 20, :, image_NCHW.shape[3] // 2 :] = 5
        return {"out": logits_NKHW}


def test_labels_are_the_likeliest_at_the_images_own_size(monkeypatch):
    monkeypatch.setattr(networks, "SEGMENTED_SIDE", 64)
    label = networks.Segmenter(Quadrants())(np.zeros((2, 16, 16, 3), np.uint8))
    assert label.shape == (2, 16, 16, 1)
    assert (label[:, :, :8] == 0).all()
    assert (label[:, :, 8:] == 20).all()


def test_missing_deeplab_names_the_file_and_the_folder(data, monkeypatch, tmp_path):
    from twostage.sources import fetch
    from twostage.sources.clients import UnreachableError

    def unreachable(archive, folder):
        raise UnreachableError(str(archive))

    monkeypatch.setenv("TWOSTAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "download", unreachable)
    with pytest.raises(TwostageError, match=r"deeplabv3_resnet50_coco-cd0a2569\.pth into .*cache/downloads"):
        run(data, map="segmentation")

"""Tokenizers on a second device give what they give on the CPU."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests.second_device import assert_same_on_both, second_device
from twostage.config.schema import KMeansConfig
from twostage.runtime.artifacts import read_json, write_array
from twostage.runtime.job import Job
from twostage.tokenizers import tiles
from twostage.tokenizers.cluster import ClusterConfig, cluster
from twostage.tokenizers.greys import GreysConfig, greys
from twostage.tokenizers.model import Tokenizer, load, save
from twostage.tokenizers.train import train
from twostage.weights.lpips import PerceptualDistance

from .conftest import RandomPerceptual, small_config

# Adam moves a weight by as much as the rate, also where its gradient is nothing but rounding: so the rate is small.
SMALL, NEARLY = {"learning_rate": 1e-4, "discriminator__learning_rate": 1e-4}, 5e-4
PLAIN = {"loss__adversarial": "none", "loop__steps": 2} | SMALL


def job(verb, inputs, out, config=None):
    folders = {name: str(path) for name, path in inputs.items()}
    return Job("tokenizers", verb, "toy", "smoke", config or {}, folders, str(out), [])


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: RandomPerceptual()))


ADVERSARIAL = {"loss__adversarial_start": 1, "discriminator__augment": True, "discriminator__lecam": 0.01}
RELEASED = {"layout": "released", "channel_multipliers": [1, 1, 2], "attention_levels": [2]}


@pytest.mark.parametrize(
    "changes",
    [
        {"loss__perceptual": "alex", "dropout": 0.1, "loop__steps": 3} | ADVERSARIAL | SMALL,
        {"quantizer__learned_by": "ema", "loop__accumulate": 2} | RELEASED | PLAIN,
        {"map": "segmentation", "loss__reconstruction": "cross_entropy"} | PLAIN,
        {"map": "edges", "loss__reconstruction": "binary_cross_entropy"} | PLAIN,
    ],
    ids=["adversarial", "averaged codes", "labels", "edges"],
)
def test_a_training_ends_with_the_same_weights(changes, data_folder, tmp_path):
    config = small_config(**changes)
    inputs = {"data": data_folder, "alexnet": tmp_path}

    def write(out):
        train(config, job("train", inputs, out, asdict(config)))

    assert_same_on_both(write, tmp_path, NEARLY)


def test_autocast_follows_the_device(data_folder, tmp_path):
    config = small_config(loop__precision="bfloat16", **PLAIN)
    run = lambda out: train(config, job("train", {"data": data_folder}, out, asdict(config)))  # noqa: E731
    assert_same_on_both(run, tmp_path, tolerance=0.25)


def test_one_starts_from_another(data_folder, tmp_path):
    first = small_config(name="first", **PLAIN)
    save(Tokenizer(first, "colour", 3), tmp_path / "first")
    config = small_config(starts_from="first", **PLAIN)
    inputs = {"data": data_folder, "start": tmp_path / "first"}
    with second_device():
        train(config, job("train", inputs, tmp_path / "second", asdict(config)))
    assert read_json(tmp_path / "second/metrics.json")["steps"] == 2


def test_a_palette_is_the_same(data_folder, tmp_path):
    config = ClusterConfig("kmeans_f1", "image", KMeansConfig(16, 2000, 256, 2, 0))
    assert_same_on_both(lambda out: cluster(config, job("cluster", {"data": data_folder}, out)), tmp_path)


def test_greys_are_the_same(data_folder, tmp_path):
    for split in ("train", "tune"):
        grey_N = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
        write_array(data_folder / f"{split}_image.npy", np.repeat(grey_N, 3, -1))
    config = GreysConfig("greys_f1", "image")
    assert_same_on_both(lambda out: greys(config, job("greys", {"data": data_folder}, out)), tmp_path)


def test_a_canvas_in_tiles_is_the_same(tmp_path):
    torch.manual_seed(0)
    save(Tokenizer(small_config(**RELEASED), "colour", 3), tmp_path / "model")
    image_BHWC = np.random.default_rng(0).integers(0, 256, (1, 48, 40, 3), np.uint8)

    @torch.inference_mode()
    def write(out):
        tokenizer = load(tmp_path / "model")
        index_BHW = tiles.encode(tokenizer, image_BHWC, tile_pixels=16)
        write_array(out / "index.npy", index_BHW.cpu().numpy())
        write_array(out / "image.npy", tiles.decode(tokenizer, index_BHW, tile_pixels=16).cpu().numpy())

    assert_same_on_both(write, tmp_path)

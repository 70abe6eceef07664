"""FID of reconstructions against the stored features of the same images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.evaluation.conftest import job
from twostage import tokenizers
from twostage.config.schema import FeaturesConfig, ReconstructionsConfig
from twostage.errors import TwostageError
from twostage.evaluation.features import features
from twostage.evaluation.reconstruct import reconstructions
from twostage.evaluation.rfid import rfid
from twostage.runtime.artifacts import read_array, read_json

FEATURES = FeaturesConfig("validation", 40, 16)
CONFIG = ReconstructionsConfig("validation", 40, 16, kid_subsets=4, kid_subset_size=30, seed=0)


class RoundingTokenizer:
    """Keeps so many levels of brightness; 256 reconstruct exactly."""

    def __init__(self, levels):
        self.step = 255 / (levels - 1)

    def encode(self, image_BCHW):
        return ((image_BCHW + 1) * 127.5 / self.step).round()

    def decode(self, index_BCHW):
        return index_BCHW * self.step / 127.5 - 1


@pytest.fixture
def evaluate(folder, inception, monkeypatch):
    features(FEATURES, job(folder, "features", "real", data="data", inception="inception"))

    def run(levels, config=CONFIG):
        monkeypatch.setattr(tokenizers, "load", lambda path: RoundingTokenizer(levels))
        inputs = {"data": "data", "tokenizer": "tokenizer", "real": "real", "inception": "inception"}
        rfid(config, job(folder, "rfid", "out", **inputs))
        return read_json(folder / "out/metrics.json")

    return run


def test_exact_reconstructions_have_an_rfid_of_zero(evaluate):
    assert evaluate(256)["rfid"] == pytest.approx(0, abs=1e-4)


def test_worse_reconstructions_are_further_away(evaluate):
    exact, worse, worst = (evaluate(levels) for levels in (256, 8, 2))
    assert exact["rfid"] <= worse["rfid"] < worst["rfid"] - 0.1
    assert exact["rkid_mean"] < worst["rkid_mean"]
    assert worst["rkid_std_over_subsets"] > 0


def test_the_protocol_stands_beside_it(evaluate, folder):
    protocol = evaluate(256)["protocol"]
    assert protocol["real"]["images"] == 40
    assert protocol["reconstructions"]["from"] == str(folder / "tokenizer")
    assert protocol["reconstructions"]["images"] == 40
    assert protocol["kid"] == {"subsets": 4, "subset_size": 30, "seed": 0}


def test_fewer_images_are_compared_with_the_features_of_the_same_ones(evaluate):
    fewer = replace(CONFIG, images=20)
    assert evaluate(256, fewer)["rfid"] == pytest.approx(0, abs=1e-4)
    protocol = evaluate(8, fewer)["protocol"]
    assert protocol["real"]["images"] == protocol["reconstructions"]["images"] == protocol["kid"]["subset_size"] == 20


def test_more_images_than_have_features_are_refused(evaluate):
    with pytest.raises(TwostageError, match=r"rfid_images asks for 50 images, but \S*real holds features of 40; lower"):
        evaluate(256, replace(CONFIG, images=50))


def test_more_images_than_there_are_name_the_key_that_asks_for_them(evaluate):
    with pytest.raises(
        TwostageError, match=r"^evaluation\.rfid_images=61, but the validation split has 60 images; lower"
    ):
        evaluate(256, replace(CONFIG, images=61))


def test_reconstructions_come_as_bytes_in_order(folder):
    images = read_array(folder / "data/validation_image.npy")
    with torch.inference_mode():
        found = list(reconstructions(RoundingTokenizer(256), images[:20], 16, "toy"))
    np.testing.assert_array_equal(np.concatenate(found), images[:20])

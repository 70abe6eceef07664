"""Stored features of real images: which, and under what protocol."""

import numpy as np
import pytest
import torch

from tests.processes import together
from tests.unit.evaluation.conftest import TinyExtractor, job
from twostage.config.schema import FeaturesConfig
from twostage.errors import TwostageError
from twostage.evaluation.features import features
from twostage.runtime.artifacts import read_array, read_json


def run(folder, **changes):
    config = FeaturesConfig(**({"split": "validation", "images": 40, "batch_size": 16} | changes))
    features(config, job(folder, "features", "out", data="data", inception="inception"))


def test_the_first_images_of_the_split_are_extracted_in_order(folder, inception):
    run(folder)
    found_ND = read_array(folder / "out/features.npy")
    image_NCHW = torch.from_numpy(read_array(folder / "data/validation_image.npy")[:40].copy()).permute(0, 3, 1, 2)
    (expected_ND,) = TinyExtractor(["2048"])(image_NCHW)
    assert found_ND.dtype == np.float32
    np.testing.assert_allclose(found_ND, expected_ND.numpy(), rtol=1e-5)


def test_processes_share_the_batches_and_change_no_feature(folder, inception):
    run(folder)
    alone_ND = np.array(read_array(folder / "out/features.npy"))
    (folder / "out").rename(folder / "alone")
    together(2, run, folder)
    assert (read_array(folder / "out/features.npy") == alone_ND).all()


def test_the_protocol_stands_beside_them(folder, inception):
    run(folder)
    metadata = read_json(folder / "out/metadata.json")
    assert metadata["real"] == {
        "data": "toy", "split": "validation", "split_content_sha256": "c", "images": 40, "height": 16, "width": 16,
    }  # fmt: skip
    assert "TensorFlow 1" in metadata["resize"]
    assert metadata["weights"]["source_sha256"] == "i"


def test_null_means_the_whole_split(folder, inception):
    run(folder, images=None)
    assert read_array(folder / "out/features.npy").shape == (60, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 61}, r"evaluation\.features\.images=61, but the validation split has 60 images; lower it"),
        ({"split": "test"}, r"evaluation\.features\.split is 'test'; expected one of train, tune, validation"),
    ],
)
def test_what_the_data_does_not_hold_is_refused(folder, inception, changes, message):
    with pytest.raises(TwostageError, match=message):
        run(folder, **changes)
    assert not (folder / "out").exists()


def test_missing_weights_name_the_command_that_fetches_them(folder):
    with pytest.raises(TwostageError, match=r"is missing.*fetch it: snakemake --cores all .*model\.safetensors"):
        run(folder)

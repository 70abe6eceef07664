"""Encoding of a stored dataset: what is flipped, limited, counted and refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from twostage import tokenizers
from twostage.config.schema import LatentsConfig
from twostage.errors import TwostageError
from twostage.latents.encode import encode
from twostage.runtime.artifacts import read_array, read_json, sha256_file, write_array, write_json
from twostage.runtime.job import Job

SIZES = {"train": 7, "tune": 4, "validation": 5}


class StripeTokenizer:
    """Tells codes by the brightness of 4x4 patches; the interface that this stage uses, and no decoder at all."""

    num_codes, factor, kind = 16, 4, "colour"

    def to(self, device):
        return self

    def prepare(self, map_BHWC):
        return torch.from_numpy(map_BHWC.copy()).permute(0, 3, 1, 2).float()

    def encode(self, image_BCHW):
        return torch.nn.functional.avg_pool2d(image_BCHW.mean(1), 4).div(16).long()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split, number in SIZES.items():
        write_array(tmp_path / f"data/{split}_image.npy", rng.integers(0, 256, (number, 16, 8, 3), np.uint8))
    splits = {split: {"num_images": number, "manifest_sha256": split} for split, number in SIZES.items()}
    maps = {"image": {"channels": 3, "kind": "colour"}, "edges": {"channels": 1, "kind": "binary"}}
    write_json(tmp_path / "data/metadata.json", {"name": "small", "maps": maps, "splits": splits})
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(tokenizers, "load", lambda folder: StripeTokenizer())
    return tmp_path


def job(config, folder):
    inputs = {"data": str(folder / "data"), "tokenizer": str(folder / "tokenizer")}
    return Job("latents", "encode", "v", "smoke", dataclasses.asdict(config), inputs, str(folder / "out"), [])


def config(**changes):
    return dataclasses.replace(LatentsConfig("image", True, None, None, 3), **changes)


def test_train_is_followed_by_its_mirror_images_and_other_splits_are_not(folders):
    encode(config(), job(config(), folders))
    images = read_array(folders / "data/train_image.npy")
    expected = StripeTokenizer().encode(StripeTokenizer().prepare(images)).numpy()
    index = read_array(folders / "out/train_index.npy")
    assert index.dtype == np.uint16
    assert index.shape == (14, 4, 2)
    assert (index[:7] == expected).all()
    assert (index[7:] == expected[:, :, ::-1]).all()
    assert read_array(folders / "out/validation_index.npy").shape == (5, 4, 2)
    assert read_array(folders / "out/tune_index.npy").shape == (4, 4, 2)


def test_limits_take_the_first_images(folders):
    encode(config(), job(config(), folders))
    whole = np.array(read_array(folders / "out/train_index.npy"))
    limited = config(train_images=2, validation_images=3, flips=False)
    encode(limited, job(limited, folders))
    assert (read_array(folders / "out/train_index.npy") == whole[:2]).all()
    assert len(read_array(folders / "out/validation_index.npy")) == 3
    assert len(read_array(folders / "out/tune_index.npy")) == 3


def test_metadata_describes_vocabulary_grid_tokenizer_and_entropy(folders):
    encode(config(), job(config(), folders))
    metadata = read_json(folders / "out/metadata.json")
    assert metadata["num_codes"] == 16
    assert metadata["grid"] == [4, 2]
    assert metadata["tokenizer_sha256"] == sha256_file(folders / "tokenizer/model.safetensors")
    counts = np.bincount(read_array(folders / "out/validation_index.npy").ravel())
    share = counts[counts > 0] / counts.sum()
    split = metadata["splits"]["validation"]
    assert split["unigram_entropy_nats"] == pytest.approx(-(share * np.log(share)).sum())
    assert split["perplexity"] == pytest.approx(np.exp(split["unigram_entropy_nats"]))
    assert split["codes_used"] == (counts > 0).sum()
    assert metadata["splits"]["train"]["num_images"] == 14


def test_the_batch_size_changes_nothing(folders):
    encode(config(), job(config(), folders))
    first = (folders / "out/train_index.npy").read_bytes(), json.dumps(read_json(folders / "out/metadata.json"))
    encode(config(batch_size=5), job(config(batch_size=5), folders))
    second = (folders / "out/train_index.npy").read_bytes(), json.dumps(read_json(folders / "out/metadata.json"))
    assert first == second


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("num_codes", 2**16 + 1, "65537 codes"),
        ("factor", 3, "not divisible by the tokenizer's factor 3"),
        ("kind", "grey", "trained on a grey map"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused_before_anything_is_written(
    folders, monkeypatch, attribute, value, message
):
    monkeypatch.setattr(StripeTokenizer, attribute, value)
    with pytest.raises(TwostageError, match=message):
        encode(config(), job(config(), folders))
    assert not (folders / "out").exists()


def test_a_map_that_the_data_lacks_is_named(folders):
    with pytest.raises(TwostageError, match=r"latents\.map=depth.*image, edges"):
        encode(config(map="depth"), job(config(map="depth"), folders))

"""Grey levels as codes: nothing is lost of a grey image, and a coloured one is refused."""

import numpy as np
import pytest
import torch

from twostage import tokenizers
from twostage.errors import TwostageError
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.tokenizers.greys import GreysConfig, grey_tokenizer, greys


def grey_images(number, side=6, seed=0):
    grey_NHW1 = np.random.default_rng(seed).integers(0, 256, (number, side, side, 1), dtype=np.uint8)
    return np.repeat(grey_NHW1, 3, axis=-1)


def job(tmp_path, image_NHWC, kind="colour", channels=3):
    for split in ("train", "tune"):
        write_array(tmp_path / f"data/{split}_image.npy", image_NHWC)
    maps = {"image": {"kind": kind, "channels": channels}}
    write_json(tmp_path / "data/metadata.json", {"name": "toy", "maps": maps})
    inputs = {"data": str(tmp_path / "data")}
    return Job("tokenizers", "greys", "toy.greys_f1", "smoke", {}, inputs, str(tmp_path / "out"),
               VERBS["tokenizers.greys"].files)  # fmt: skip


def test_the_code_of_a_grey_pixel_is_its_value_and_gives_it_back():
    image_NHWC = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    tokenizer = grey_tokenizer()
    index_BHW = tokenizer.encode(tokenizer.prepare(image_NHWC))
    assert torch.equal(index_BHW.flatten(), torch.arange(256))
    byte_BCHW = ((tokenizer.decode(index_BHW) + 1) * 127.5).round()
    assert np.array_equal(byte_BCHW.permute(0, 2, 3, 1).numpy(), image_NHWC)
    assert (tokenizer.num_codes, tokenizer.factor, tokenizer.kind) == (256, 1, "colour")


def test_the_verb_writes_what_load_reads(tmp_path):
    made = job(tmp_path, grey_images(5))
    greys(GreysConfig("greys_f1", "image"), made)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    metrics = read_json(made.folder / "metrics.json")
    assert metrics["num_codes"] == 256
    assert 1 < metrics["perplexity"] <= metrics["codes_used"] <= 180
    assert torch.equal(tokenizers.load(made.folder).palette_K3, grey_tokenizer().palette_K3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_NHWC": grey_images(5) * np.array([1, 1, 0], np.uint8)}, "coloured pixels"),
        ({"image_NHWC": grey_images(5)[..., :1], "kind": "binary", "channels": 1}, "is a binary map of 1 channels"),
    ],
)
def test_what_is_not_grey_is_refused(tmp_path, change, message):
    made = job(tmp_path, **change)
    with pytest.raises(TwostageError, match=message):
        greys(GreysConfig("greys_f1", "image"), made)
    assert not made.folder.exists()

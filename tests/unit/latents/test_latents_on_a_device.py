"""Latents that a second device encodes are those of the CPU."""

import dataclasses

import numpy as np
import pytest

from tests.second_device import assert_same_on_both
from tests.unit.sampling.conftest import write_tokenizer
from twostage.config.schema import LatentsConfig
from twostage.latents.encode import encode
from twostage.runtime.artifacts import write_array, write_json
from twostage.runtime.job import Job


@pytest.mark.parametrize("flips", [True, False])
def test_codes_are_the_same(flips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tokenizer(tmp_path / "tokenizer")
    rng = np.random.default_rng(0)
    sizes = {"train": 7, "tune": 4, "validation": 5}
    for split, number in sizes.items():
        write_array(tmp_path / f"data/{split}_image.npy", rng.integers(0, 256, (number, 16, 8, 3), np.uint8))
    splits = {split: {"num_images": number, "manifest_sha256": split} for split, number in sizes.items()}
    maps = {"image": {"channels": 3, "kind": "colour"}}
    write_json(tmp_path / "data/metadata.json", {"name": "small", "maps": maps, "splits": splits})
    config = LatentsConfig("image", flips, None, None, 3)
    inputs = {name: str(tmp_path / name) for name in ("data", "tokenizer")}

    def write(out):
        encode(config, Job("latents", "encode", "v", "smoke", dataclasses.asdict(config), inputs, str(out), []))

    assert_same_on_both(write, tmp_path)

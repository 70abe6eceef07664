"""Windows out of whole grids: cut from their own images, anywhere, and described as latents are."""

import numpy as np
import pytest

from twostage.errors import TwostageError
from twostage.latents.crop import WindowsConfig, crop, windows
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

from .test_latents_dataset import write_latents


def job(tmp_path):
    inputs = {"latents": str(write_latents(tmp_path / "whole"))}
    return Job("latents", "crop", "v", "smoke", {}, inputs, str(tmp_path / "out"), VERBS["latents.crop"].files)


def test_every_window_lies_in_its_image_and_every_place_occurs():
    index_Nhw = np.arange(3 * 5 * 6, dtype=np.uint16).reshape(3, 5, 6)
    found = windows(index_Nhw, 4, 50, np.random.default_rng(0))
    assert found.shape == (150, 4, 4)
    places = set()
    for at, window in enumerate(found):
        image, rest = divmod(int(window[0, 0]), 30)
        top, left = divmod(rest, 6)
        assert image == at % 3
        assert (window == index_Nhw[image, top : top + 4, left : left + 4]).all()
        places.add((top, left))
    assert places == {(top, left) for top in range(2) for left in range(3)}


def test_windows_are_latents_of_a_smaller_grid(tmp_path):
    made = job(tmp_path)
    crop(WindowsConfig(side=2, per_image=3, seed=0), made)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    latents = open_latents(made.folder)
    assert latents.tokens == TokenSpace(8, (2, 2), tokenizer_sha256="abc")
    # The training split alone has several of each image.
    assert [len(latents.split(name)) for name in ("train", "tune", "validation")] == [18, 2, 3]
    counts = np.bincount(read_array(made.folder / "train_index.npy").ravel())
    share = counts[counts > 0] / counts.sum()
    assert latents.unigram_entropy_nats["train"] == pytest.approx(-(share * np.log(share)).sum())
    metadata = read_json(made.folder / "metadata.json")
    assert metadata["tokenizer_sha256"] == "abc"
    assert metadata["splits"]["train"]["num_images"] == 18


def test_windows_of_two_grids_of_one_shape_lie_at_the_same_places():
    """So an image's windows pair with those of its condition, each cut by a job of its own."""
    index_Nhw = np.arange(3 * 5 * 6).reshape(3, 5, 6)
    image, condition = (windows(grid, 4, 7, np.random.default_rng((0, 0))) for grid in (index_Nhw, 1000 + index_Nhw))
    assert (condition == image + 1000).all()


def test_the_seed_decides(tmp_path):
    made = job(tmp_path)
    found = []
    for seed in (0, 0, 1):
        crop(WindowsConfig(side=2, per_image=3, seed=seed), made)
        found.append(np.array(read_array(made.folder / "train_index.npy")))
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


@pytest.mark.parametrize(("side", "per_image"), [(3, 1), (0, 1), (2, 0)])
def test_a_window_that_does_not_fit_is_refused(tmp_path, side, per_image):
    made = job(tmp_path)
    with pytest.raises(TwostageError, match=rf"{per_image} windows of {side}x{side} tokens from a grid of 2x4"):
        crop(WindowsConfig(side, per_image, 0), made)
    assert not made.folder.exists()

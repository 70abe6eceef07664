"""A user's own folder of real photographs, by the one documented command, at scale smoke."""

import sys

import numpy as np
import pytest
from PIL import Image
from skimage import color, data, filters
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_sample_images

from .conftest import rules_of

NUM_PICTURES, NUM_LABELS, SIDE = 100, 6, 48


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Crops of package photographs, and of each its regions of like colour, found on all photographs together."""
    root = tmp_path_factory.mktemp("photographs")
    whole = [*load_sample_images().images, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    lab = [color.rgb2lab(filters.gaussian(picture, 2, channel_axis=-1)) for picture in whole]
    found = MiniBatchKMeans(NUM_LABELS, random_state=0, n_init=1)
    found.fit(np.concatenate([picture.reshape(-1, 3)[::200] for picture in lab]))
    regions = [found.predict(picture.reshape(-1, 3)).reshape(picture.shape[:2]).astype(np.uint8) for picture in lab]
    random = np.random.default_rng(0)
    for name in ("images", "segmentation"):
        (root / name).mkdir()
    for number in range(NUM_PICTURES):
        picture, region = (pictures[number % len(whole)] for pictures in (whole, regions))
        top, left = (random.integers(0, side - SIDE) for side in region.shape)
        crop = np.s_[top : top + SIDE, left : left + SIDE]
        Image.fromarray(picture[crop]).save(root / f"images/{number:03d}.jpg")
        Image.fromarray(region[crop]).save(root / f"segmentation/{number:03d}.png")
    Image.fromarray(regions[2]).save(root.parent / "layout.png")
    return root


@pytest.fixture(scope="module")
def call(new_clone, photographs):
    clone = new_clone()

    def run(*overrides):
        result = clone.run(
            sys.executable, "-m", "twostage", "from_data", "scale=smoke", "data=folder", "data.name=mine",
            f"data.root={photographs}", "data.maps=[segmentation]", f"data.num_labels={NUM_LABELS}",
            "data.tune_images=10", "data.validation_images=10", "priors.condition=segmentation_f4",
            f"sampling.condition_file={photographs.parent}/layout.png", "sampling.num_images=1",
            "sampling.grid_images=1", *overrides,
        )  # fmt: skip
        return clone, result

    return run


def test_photographs_and_maps_become_a_canvas_by_one_command(call):
    clone, result = call("sampling.canvas_pixels=[64,96]")
    assert result.returncode == 0, result.stderr[-3000:]
    (samples,) = clone.folder.glob("artifacts/smoke/sampling/mine.*/samples.npy")
    assert np.load(samples).shape == (1, 64, 96, 3)
    assert (clone.folder / "results/figures/samples_of_mine_samples.png").is_file()
    assert clone.ask("git", "status", "--porcelain") == ""
    # Another canvas draws; nothing is prepared or trained again.
    clone, again = call("sampling.canvas_pixels=[48,64]")
    assert again.returncode == 0, again.stderr[-3000:]
    ran = {rule for rule in rules_of(again.stderr) if not rule.startswith("results_")}
    assert ran == {"sampling_generate", "evaluation_collect", "figures_study"}
    assert len(list(clone.folder.glob("artifacts/smoke/sampling/mine.*/samples.npy"))) == 2


def test_a_canvas_that_f_does_not_divide_is_one_line(call):
    _, result = call("sampling.canvas_pixels=[50,64]")
    assert result.returncode == 1
    assert result.stderr == (
        "error: sampling.canvas_pixels=[50, 64]: both sides must be divisible by the tokenizer's factor 4; "
        "set e.g. [48, 64]\n"
    )

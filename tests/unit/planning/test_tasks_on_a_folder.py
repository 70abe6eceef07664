"""Depth and pose on a folder of a user's own, from pictures to the figure: every verb of the plan, with tiny models."""

import importlib
import json

import numpy as np
import pytest
from PIL import Image

from tests.unit.data.test_keypoints import coco
from tests.unit.evaluation.test_agreement import Levels
from twostage.config import composition, schema
from twostage.evaluation.agree import AgreeConfig
from twostage.evaluation.collect import CollectConfig
from twostage.figures.study import StudyConfig
from twostage.planning.whole import plan_of
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.weights.lpips import PerceptualDistance

pytestmark = pytest.mark.usefixtures("repository_conf")

NUMBER, SIZE = 24, (24, 20)
CONFIG = {
    "data.prepare": schema.DataConfig, "tokenizers.train": schema.TokenizerConfig,
    "latents.encode": schema.LatentsConfig, "priors.tune": schema.PriorConfig, "priors.train": schema.PriorConfig,
    "sampling.generate": schema.SamplingConfig, "evaluation.agree": AgreeConfig,
    "evaluation.collect": CollectConfig, "figures.study": StudyConfig,
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    """Pictures with a depth map and keypoints each."""
    root, rng = tmp_path / "mine", np.random.default_rng(0)
    for folder in ("images", "depth"):
        (root / folder).mkdir(parents=True)
    for at in range(NUMBER):
        image = rng.integers(0, 256, (5, 6, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(image).save(root / f"images/{at:02d}.png")
        Image.fromarray(image[..., 0]).save(root / f"depth/{at:02d}.png")
    (root / "keypoints.json").write_text(json.dumps(coco(NUMBER, SIZE)))
    return root


def tiny(root):
    """A compose of the smallest models, on the folder."""

    def compose(overrides):
        tree = composition.compose(overrides)
        tree["data"] |= {"root": str(root), "size": 16, "tune_images": 6, "validation_images": 6, "class_ranges": []}
        for part in (tree["tokenizers"]["loop"], tree["priors"]["loop"]):
            part |= {"steps": 2, "batch_size": 4, "evaluate_every": 2, "checkpoint_every": 2}
        tree["tokenizers"] |= {"channels": 8, "learning_rate": 1e-3, "decay_from": None}
        tree["tokenizers"]["loss"] |= {"perceptual": "none", "perceptual_weight": 0.0, "adversarial": "none"}
        tree["tokenizers"]["quantizer"]["num_codes"] = 16
        tree["priors"]["sweep"] = {"learning_rates": [1e-3], "steps": 2}
        tree["latents"] |= {"train_images": None, "validation_images": None}
        if tree["study"] is not None:
            tree["study"]["conditions"] = {"images": 3, "per_condition": 2}
        return tree

    return compose


@pytest.mark.parametrize("task", ["depth", "pose"])
def test_a_folder_becomes_samples_beside_their_conditions(task, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: Levels()))
    plan = plan_of(task, "smoke", tiny(pictures))
    monkeypatch.chdir(tmp_path)
    for job in plan.jobs.values():
        name = job.name
        if name in CONFIG:
            work = getattr(importlib.import_module(f"twostage.{name}"), job.verb)
            work(composition.parse(CONFIG[name], job.config), job)
        if name == "evaluation.samples":  # Inception has tests of its own
            write_json(job.folder / "metrics.json", {"fid": 9.0, "kid_mean": 0.1, "protocol": {"real": {"images": 6}}})
    out = tmp_path / f"artifacts/smoke/evaluation/{task}"
    metrics, grid = read_json(out / "metrics.json"), read_array(out / "grid.npy")
    measured = {one["quantity"] for one in metrics["statistics"] if one["values"]["model"] == "conditional"}
    assert measured >= {"lpips_to_truth", "psnr_to_truth_decibels", "diversity_lpips", "fid", "kid", "nll"}
    assert metrics["strips"] == ["condition", "original", "conditional", ""]
    assert grid.shape == (4, 3, 16, 16, 3)
    data = next(job for job in plan.jobs.values() if job.verb == "prepare").folder
    assert np.array_equal(grid[1], read_array(tmp_path / data / "validation_image.npy")[:3])
    condition = read_array(tmp_path / data / f"validation_{task}.npy")[:3, ..., 0]
    assert np.array_equal(grid[0].any(-1), condition > 0)
    assert (tmp_path / f"artifacts/smoke/figures/{task}/{task}_samples.png").stat().st_size > 1000

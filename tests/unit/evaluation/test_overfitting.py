"""The study of overfitting: copies are nearer to the training images than what was never seen."""

import numpy as np
import pytest

from tests.unit.evaluation.test_neighbours import Tiny
from twostage.errors import TwostageError
from twostage.evaluation import overfitting as module
from twostage.evaluation.overfitting import OverfittingConfig, overfitting
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

from .conftest import random_images

NLL = "validation_nll_nats_per_token"
INPUTS = ("data", "latents", "vgg16", "tokenizer", "early_stopping.prior", "early_stopping.sampling",
          "early_stopping.samples", "to_the_end.prior", "to_the_end.sampling", "to_the_end.samples")  # fmt: skip


def studied(tmp_path, monkeypatch, **end):
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: Tiny()))
    monkeypatch.setattr(module, "reconstructed", lambda folder, images, batch_size: images)
    train = random_images(20, 0)
    write_array(tmp_path / "data/train_image.npy", train)
    write_array(tmp_path / "data/validation_image.npy", random_images(8, 1))
    write_json(tmp_path / "latents/metadata.json", {"flips": True, "splits": {"train": {"num_images": 24}}})
    prior = {"steps": 20, "last_step": 60, "num_parameters": 9, "learning_rate": 0.01, "learning_rate_at_edge": False}
    for run, images, changes in (
        ("early_stopping", random_images(8, 2), {}),
        # Copies of the first training images, mirrored.
        ("to_the_end", train[:8, :, ::-1], {"steps": 60, **end}),
    ):
        write_json(tmp_path / f"{run}.prior/metrics.json", prior | {NLL: 3.0} | changes)
        points = [(0, 5.0, ""), (20, 3.0, 4.0), (40, 3.5, 2.0), (60, 4.0, 1.0)]
        names = ("step", NLL, "train_nll_nats_per_token")
        write_csv(tmp_path / f"{run}.prior/curve.csv", [dict(zip(names, point, strict=True)) for point in points])
        write_json(tmp_path / f"{run}.sampling/metrics.json", {"temperature": 1.0, "top_k": 10})
        write_array(tmp_path / f"{run}.sampling/samples.npy", images)
        judged = {"fid": 90.0 + len(changes), "kid_mean": 0.1, "protocol": {"samples": {"images": 8}}}
        write_json(tmp_path / f"{run}.samples/metrics.json", judged)
    inputs = {name: str(tmp_path / name) for name in INPUTS}
    job = Job("evaluation", "overfitting", "overfitting", "smoke", {}, inputs, str(tmp_path / "out"),
              VERBS["evaluation.overfitting"].files)  # fmt: skip
    overfitting(OverfittingConfig("toy", 12, 8, 2, 3), job)
    return job


def test_copies_are_found_even_if_mirrored(tmp_path, monkeypatch):
    job = studied(tmp_path, monkeypatch)
    metrics = read_json(job.folder / "metrics.json")
    nearest = metrics["nearest_lpips"]
    assert nearest["to_the_end"]["mean"] == pytest.approx(0, abs=1e-5)
    assert nearest["early_stopping"]["mean"] > 0.01
    assert nearest["validation"]["quantiles"]["q05"] > 0.01
    assert nearest["validation"]["sorted"] == sorted(nearest["validation"]["sorted"])
    assert metrics["curve"]["train"] == [None, 4.0, 2.0, 1.0]
    stopped, ended = metrics["runs"]["early_stopping"], metrics["runs"]["to_the_end"]
    assert (stopped["steps"], stopped["train_nll_nats_per_token"], stopped["fid"]) == (20, 4.0, 90.0)
    assert (ended["steps"], ended["train_nll_nats_per_token"], ended["fid"]) == (60, 1.0, 91.0)
    grid = read_array(job.folder / "grid.npy")
    assert grid.shape == (2, 3, 3, 16, 16, 3)
    # To the right of a copy lies its original, mirrored.
    assert np.array_equal(grid[1, :, 0], grid[1, :, 1])


def test_weights_of_no_step_have_no_training_behind_them(tmp_path, monkeypatch):
    metrics = read_json(studied(tmp_path, monkeypatch, steps=0).folder / "metrics.json")
    assert metrics["runs"]["to_the_end"]["train_nll_nats_per_token"] is None


def test_runs_of_unlike_rates_are_refused(tmp_path, monkeypatch):
    with pytest.raises(TwostageError, match="unlike learning rates"):
        studied(tmp_path, monkeypatch, learning_rate=0.02)

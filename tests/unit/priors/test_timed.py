"""The verb `priors.timed`: as long as the rival, never longer, and the weights of the end."""

import dataclasses

import pytest
import torch

from twostage import priors
from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.planning.verbs import VERBS
from twostage.priors.task import PriorTask
from twostage.priors.timed import timed
from twostage.priors.train import train
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


RIVAL_STEPS = 10


def make_job(config, folder, ratio):
    """Beside a rival that trained 10 steps, each of which takes `ratio` of ours."""
    rival = {"steps": RIVAL_STEPS, "learning_rate": 2e-3, "learning_rate_at_edge": True}
    write_json(folder / "rival/metrics.json", rival)
    write_json(folder / "pace/metrics.json", {"seconds_ratio": ratio, "seconds_ratio_ci95_high": 1.2 * ratio})
    inputs = {name: str(folder / name) for name in ("latents", "rival", "pace")}
    values = dataclasses.asdict(config)
    return Job("priors", "timed", "v", "smoke", values, inputs, str(folder / "out"), VERBS["priors.timed"].files)


def test_it_ends_within_the_rivals_time_and_keeps_the_last_weights(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    job = make_job(config, tmp_path, ratio=1.96)
    timed(config, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    assert not job.scratch.exists()
    metrics, rows = read_json(job.folder / "metrics.json"), read_csv(job.folder / "curve.csv")
    # Ten of the rival's steps are 19.6 of ours.
    assert [int(row["step"]) for row in rows] == [0, 4, 8, 12, 16, 19]
    assert metrics["steps"] == metrics["last_step"] == 19
    assert (metrics["learning_rate"], metrics["learning_rate_at_edge"]) == (2e-3, True)
    model = priors.load(job.folder).model
    held_out = open_latents(latents).split("validation")
    again = PriorTask(model, config, 1e-3, held_out, held_out).evaluate()[NLL]
    assert metrics[NLL] == float(rows[-1][NLL]) == pytest.approx(again, rel=1e-5)
    assert torch.isfinite(model.head.weight).all()


def test_it_is_a_training_of_as_many_steps(prior_config, latents, tmp_path):
    config = prior_config("gpt", learning_rate=2e-3)
    timed(config, make_job(config, tmp_path, ratio=1.2))
    config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, steps=12))
    inputs = {"latents": str(latents)}
    values = dataclasses.asdict(config)
    plain = Job("priors", "train", "p", "smoke", values, inputs, str(tmp_path / "plain"), VERBS["priors.train"].files)
    train(config, plain)
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (plain.folder / name).read_bytes()


def test_a_sweep_of_its_own_sets_the_rate(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    job = make_job(config, tmp_path, ratio=0.5)
    write_json(tmp_path / "tune/metrics.json", {"learning_rate": 1e-3, "at_edge": False})
    job.inputs["tune"] = str(tmp_path / "tune")
    timed(config, job)
    metrics = read_json(job.folder / "metrics.json")
    assert (metrics["learning_rate"], metrics["learning_rate_at_edge"]) == (1e-3, False)


def test_a_rival_that_took_less_than_a_step_is_refused(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    with pytest.raises(TwostageError, match="trained 10 steps, faster than one step here"):
        timed(config, make_job(config, tmp_path, ratio=0.09))

"""The verb `priors.timed`: as long as the rival, never much longer, and the weights of the end."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from twostage import priors
from twostage.artifacts import read_csv, read_json, write_json
from twostage.errors import TwostageError
from twostage.jobs import FILES, Job
from twostage.latents.dataset import open_latents
from twostage.priors.task import PriorTask
from twostage.priors.timed import timed, within
from twostage.scores import NLL


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_job(config, folder, seconds):
    rival = {"train_seconds": seconds, "learning_rate": 2e-3, "learning_rate_at_edge": True}
    write_json(folder / "rival/metrics.json", rival)
    inputs = {"latents": str(folder / "latents"), "rival": str(folder / "rival")}
    values = dataclasses.asdict(config)
    return Job("priors", "timed", "v", "smoke", values, inputs, str(folder / "out"), FILES["priors.timed"])


@pytest.mark.usefixtures("steady_clock")
def test_it_ends_within_the_rivals_time_and_keeps_the_last_weights(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    job = make_job(config, tmp_path, seconds=2.0)
    timed(config, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    assert not job.scratch.exists()
    metrics, rows = read_json(job.folder / "metrics.json"), read_csv(job.folder / "curve.csv")
    assert metrics["steps"] > config.loop.steps
    assert metrics["steps"] % config.loop.evaluate_every == 0
    assert 1.5 < metrics["train_seconds"] <= 2.0
    assert (metrics["learning_rate"], metrics["learning_rate_at_edge"]) == (2e-3, True)
    assert metrics["steps"] == int(rows[-1]["step"])
    model = priors.load(job.folder).model
    held_out = open_latents(latents).split("validation")
    again = PriorTask(model, config, 1e-3, held_out, held_out).evaluate()[NLL]
    assert metrics[NLL] == float(rows[-1][NLL]) == pytest.approx(again, rel=1e-5)
    assert torch.isfinite(model.head.weight).all()


def test_a_sweep_of_its_own_sets_the_rate(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    job = make_job(config, tmp_path, seconds=0.1)
    write_json(tmp_path / "tune/metrics.json", {"learning_rate": 1e-3, "at_edge": False})
    job.inputs["tune"] = str(tmp_path / "tune")
    timed(config, job)
    metrics = read_json(job.folder / "metrics.json")
    assert (metrics["learning_rate"], metrics["learning_rate_at_edge"]) == (1e-3, False)


@pytest.mark.parametrize(
    ("step", "seconds", "ends"), [(0, 0.0, False), (10, 5.0, False), (80, 40.0, False), (95, 47.5, True)]
)
def test_it_ends_where_the_next_point_would_lie_beyond(step, seconds, ends):
    # Half a second a step, 50 s: the point after step 80 is at 45 s, the one after 95 at 52.5.
    assert within(50.0, 10)(SimpleNamespace(step=step, train_seconds=seconds)) == ends


def test_a_rival_that_took_no_time_is_refused(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    with pytest.raises(TwostageError, match=r"trained for 0\.0 s, too short"):
        timed(config, make_job(config, tmp_path, seconds=0.0))

"""Trackers, against the real libraries: what they are told, and that no weight depends on them."""

import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.priors.conftest import NUM_CODES, prior_config, write_latents
from tests.unit.tokenizers.conftest import small_config
from twostage.commands import run, tracking
from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.priors import tune
from twostage.priors.train import train as train_prior
from twostage.runtime.artifacts import read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL
from twostage.runtime.training import Loop
from twostage.tokenizers.train import train as train_tokenizer

NOT_HERE = "{} is not installed: pip install --group trackers"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Taken back after the test, whatever the test chose.
    monkeypatch.setenv(tracking.VARIABLE, "none")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason=NOT_HERE.format("tensorboard"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def told(job):
        (file,) = (tmp_path / tracking.EVENTS).rglob("events.*")
        assert job.variant in file.parts
        found = EventAccumulator(str(file), size_guidance={"images": 0, "scalars": 0})
        found.Reload()
        return found

    return told


@pytest.fixture
def mlflow():
    library = pytest.importorskip("mlflow", reason=NOT_HERE.format("mlflow"))
    pytest.importorskip("alembic", reason="a local store of MLflow needs alembic")
    yield library
    library.end_run()


def prior_job(tmp_path, out, verb="train", files=("model.safetensors", "config.json", "curve.csv", "metrics.json")):
    write_latents(tmp_path / "latents", NUM_CODES, 0)
    config, inputs = asdict(prior_config("gpt")), {"latents": "latents"}
    return Job("priors", verb, "cifar10.gpt", "smoke", config, inputs, f"{out}/priors/cifar10.gpt", list(files))


def tokenizer_job(tmp_path, out):
    rng = np.random.default_rng(0)
    for split, number in (("train", 12), ("tune", 10)):
        write_array(tmp_path / f"data/{split}_image.npy", rng.integers(0, 256, (number, 8, 8, 3), dtype=np.uint8))
    maps = {"image": {"kind": "colour", "channels": 3}}
    write_json(tmp_path / "data/metadata.json", {"name": "noise", "maps": maps})
    out = f"{out}/tokenizers/noise.small"
    return Job("tokenizers", "train", "noise.small", "smoke", asdict(small_config()), {"data": "data"}, out, [])


def tracked(word, work, config, job):
    tracking.choose(word)
    with tracking.tracked(job):
        work(config, job)
    return job


def weights(job):
    return (job.folder / "model.safetensors").read_bytes()


def test_tensorboard_has_the_nll_and_the_weights_are_the_same_bytes(tensorboard, tmp_path):
    config = prior_config("gpt")
    plain = tracked("none", train_prior, config, prior_job(tmp_path, "plain"))
    assert not tracking.EVENTS.exists()
    watched = tracked("tensorboard", train_prior, config, prior_job(tmp_path, "artifacts"))
    assert weights(plain) == weights(watched)
    told, curve = tensorboard(watched), read_csv(watched.folder / "curve.csv")
    assert [(event.step, event.value) for event in told.Scalars(NLL)] == [
        (int(row["step"]), pytest.approx(float(row[NLL]))) for row in curve
    ]
    (last,) = told.Scalars(f"metrics/{NLL}")
    assert (last.step, last.value) == (8, pytest.approx(read_json(watched.folder / "metrics.json")[NLL]))


def test_tensorboard_has_reconstructions_and_the_weights_are_the_same_bytes(tensorboard, tmp_path):
    plain = tracked("none", train_tokenizer, small_config(), tokenizer_job(tmp_path, "plain"))
    watched = tracked("tensorboard", train_tokenizer, small_config(), tokenizer_job(tmp_path, "artifacts"))
    assert weights(plain) == weights(watched)
    told = tensorboard(watched)
    grids = told.Images("reconstructions")
    assert [(grid.step, grid.width, grid.height) for grid in grids] == [(step, 8 * 8, 2 * 8) for step in (0, 3, 6)]
    (tmp_path / "grid.png").write_bytes(grids[-1].encoded_image_string)
    originals = np.load(tmp_path / "data/tune_image.npy")[:8]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grid.png"))[:8], np.concatenate(list(originals), axis=1))


def test_a_picture_that_a_job_made_is_told(tensorboard, tmp_path):
    job = Job("sampling", "generate", "x", "smoke", {}, {}, "artifacts/sampling/x", ["grid.png"])

    def draw(config, job):
        job.folder.mkdir(parents=True)
        Image.new("RGB", (6, 4)).save(job.folder / "grid.png")

    (grid,) = tensorboard(tracked("tensorboard", draw, None, job)).Images("grid")
    assert (grid.width, grid.height) == (6, 4)


def test_a_sweep_tells_every_rate_by_its_name(tensorboard, tmp_path):
    job = prior_job(tmp_path, "artifacts", "tune", ("sweep.csv", "metrics.json"))
    told = tensorboard(tracked("tensorboard", tune.tune, prior_config("gpt"), job))
    assert {f"learning rate {rate}/{NLL}" for rate in ("0.001", "0.01")} <= set(told.Tags()["scalars"])


def test_mlflow_has_the_nll_and_the_weights_are_the_same_bytes(mlflow, tmp_path):
    config = prior_config("gpt")
    plain = tracked("none", train_prior, config, prior_job(tmp_path, "plain"))
    watched = tracked("mlflow", train_prior, config, prior_job(tmp_path, "artifacts"))
    assert weights(plain) == weights(watched)
    client = mlflow.MlflowClient()
    (told,) = client.search_runs([client.get_experiment_by_name("twostage").experiment_id])
    assert (told.info.run_name, told.info.status) == ("priors.train cifar10.gpt", "FINISHED")
    assert told.data.params["loop.steps"] == "8"
    curve = read_csv(watched.folder / "curve.csv")
    assert [(point.step, point.value) for point in client.get_metric_history(told.info.run_id, NLL)] == [
        (int(row["step"]), float(row[NLL])) for row in curve
    ]


def test_mlflow_has_reconstructions_and_says_that_a_job_failed(mlflow, tmp_path):
    def failing(config, job):
        train_tokenizer(config, job)
        raise TwostageError("afterwards")

    with pytest.raises(TwostageError, match="afterwards"):
        tracked("mlflow", failing, small_config(), tokenizer_job(tmp_path, "artifacts"))
    client = mlflow.MlflowClient()
    (told,) = client.search_runs([client.get_experiment_by_name("twostage").experiment_id])
    assert told.info.status == "FAILED"
    assert any("reconstructions" in file.path for file in client.list_artifacts(told.info.run_id, "images"))


def test_a_tracker_that_fails_is_given_up_and_the_job_goes_on(monkeypatch, tmp_path, caplog):
    class Broken(tracking.TensorBoard):
        def __init__(self, job):
            raise ConnectionError("no server")

    monkeypatch.setitem(tracking.LIBRARIES, "tensorboard", "json")
    monkeypatch.setattr(tracking, "TensorBoard", Broken)
    train = Loop.run
    job = tracked("tensorboard", train_prior, prior_config("gpt"), prior_job(tmp_path, "artifacts"))
    assert weights(job)
    assert Loop.run is train
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the tracker failed (ConnectionError: no server); the job goes on without it"
    ]


def test_what_is_unknown_or_not_installed_is_one_line(monkeypatch):
    with pytest.raises(TwostageError, match="tracker=wandb is unknown; choose none, tensorboard, mlflow"):
        tracking.choose("wandb")
    monkeypatch.setitem(tracking.LIBRARIES, "mlflow", "no_such_package")
    with pytest.raises(TwostageError, match="tracker=mlflow needs the package no_such_package; pip install"):
        tracking.choose("mlflow")
    assert os.environ[tracking.VARIABLE] == "none"


def test_the_key_is_read_from_the_command_line_and_is_no_part_of_the_job(tensorboard, tmp_path, monkeypatch):
    job = prior_job(tmp_path, "artifacts/smoke")
    write_json(Path("job.json"), job.as_json())
    seen = []
    monkeypatch.setattr(run.made, "verify_inputs", lambda job: None)
    monkeypatch.setattr(run.provenance, "origin", lambda job: {})
    monkeypatch.setattr(run.provenance, "write_record", lambda job, origin: seen.append(job))
    monkeypatch.setattr(sys, "argv", ["priors.train", "--config", "job.json", "--tracker", "tensorboard"])
    run.run("priors.train", PriorConfig, train_prior)
    assert tensorboard(job).Scalars(NLL)
    assert json.dumps(seen[0].as_json()) == json.dumps(job.as_json())
    assert seen[0].sha12 == job.sha12


def test_a_tracker_draws_no_random_number(tensorboard, tmp_path):
    random.seed(0)
    before = random.getstate()
    tracked("tensorboard", lambda config, job: None, None, prior_job(tmp_path, "artifacts"))
    assert random.getstate() == before

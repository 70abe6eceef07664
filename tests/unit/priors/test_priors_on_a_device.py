"""Priors that are trained on a second device are those of the CPU; a killed run goes on as if it had not been."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.processes import run_until_killed
from tests.second_device import assert_same_on_both, second_device
from tests.unit.priors.conftest import prior_config
from twostage.config.schema import AbsorbingConfig, HourglassConfig, LoopConfig, SweepConfig, TransformerConfig
from twostage.latents.dataset import open_latents
from twostage.priors.model import build
from twostage.priors.pace import PaceConfig, pace
from twostage.priors.task import new_task
from twostage.priors.timed import timed
from twostage.priors.train import train
from twostage.priors.tune import tune
from twostage.runtime import training
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job

HOURGLASS = HourglassConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", dropout=0.1)
TRANSFORMER = TransformerConfig(16, 2, 2, dropout=0.1)
LOOP = LoopConfig(4, 4, 2, 3, 0, "float32")
# Adam moves a weight by as much as the rate, also where its gradient is nothing but rounding: so the rate is small.
SMALL, NEARLY = 1e-4, 5e-4
RUN = {"learning_rate": SMALL, "loop": LOOP}
CHECKPOINTED = replace(LOOP, checkpoint_activations=True, accumulate=2)
CONFIGS = {
    "gpt": prior_config("gpt", **RUN),
    "gpt averaged": prior_config("gpt", averaging=0.9, ordering="spiral_out", **RUN),
    "gpt checkpointed": prior_config("gpt", learning_rate=SMALL, loop=CHECKPOINTED),
    "pixelsnail": prior_config("pixelsnail", **RUN),
    "sundae": prior_config("sundae", **RUN),
    "absorbing": prior_config("absorbing", **RUN),
    "absorbing hourglass": prior_config(
        "absorbing", absorbing=AbsorbingConfig("hourglass", TRANSFORMER, HOURGLASS, 8, "elbo"), **RUN
    ),
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(latents, condition):
    return {"latents": str(latents), "condition": str(condition)}


def job(verb, config, inputs, out):
    return Job("priors", verb, "v", "smoke", asdict(config), inputs, str(out), [])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_ends_with_the_same_weights(name, folders, tmp_path):
    config = CONFIGS[name]
    inputs = folders if name in ("gpt", "pixelsnail", "sundae", "absorbing") else {"latents": folders["latents"]}
    assert_same_on_both(lambda out: train(config, job("train", config, inputs, out)), tmp_path, tolerance=NEARLY)


@pytest.mark.parametrize("name", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_autocast_follows_the_device(name, folders, tmp_path):
    config = prior_config(name, learning_rate=SMALL, loop=LoopConfig(2, 4, 2, 3, 0, "bfloat16"))
    assert_same_on_both(lambda out: train(config, job("train", config, folders, out)), tmp_path, tolerance=0.25)


def test_a_sweep_chooses_the_same(folders, tmp_path):
    config = prior_config("gpt", learning_rate=None, sweep=SweepConfig([SMALL, 2 * SMALL], 2))
    assert_same_on_both(lambda out: tune(config, job("tune", config, folders, out)), tmp_path, tolerance=NEARLY)


def test_rivals_are_timed(folders, tmp_path):
    config = PaceConfig(prior_config("gpt"), prior_config("pixelsnail"), min_rounds=6, max_rounds=6, spread=0.0)
    inputs = {f"{name}.{kind}": path for name in ("own", "rival") for kind, path in folders.items()}
    made = lambda out: Job("priors", "pace", "v", "smoke", {}, inputs, str(out), [])  # noqa: E731
    with second_device():
        pace(config, made(tmp_path / "out"))
    assert (tmp_path / "out/metrics.json").exists()


def test_a_training_matched_in_time_is_the_same(folders, tmp_path):
    write_json(tmp_path / "rival/metrics.json", {"steps": 4, "learning_rate": SMALL, "learning_rate_at_edge": False})
    write_json(tmp_path / "pace/metrics.json", {"seconds_ratio": 1.0, "seconds_ratio_ci95_high": 1.0})
    inputs = folders | {name: str(tmp_path / name) for name in ("rival", "pace")}
    config = prior_config("gpt", **RUN)
    assert_same_on_both(lambda out: timed(config, job("timed", config, inputs, out)), tmp_path, tolerance=NEARLY)


def test_a_killed_run_takes_up_the_dropout_of_the_devices_own_generator(folders, tmp_path):
    """Its state is stored and restored, so the resumed run is the undisturbed one bit for bit."""
    config = prior_config("gpt")

    def trained(scratch, die_at=None):
        training.seed_everything(0)
        latents = open_latents(Path(folders["latents"]))
        model = build(config, latents.tokens)
        task = new_task(model, config, 1e-2, latents.split("train"), latents.split("validation"))
        loop = training.Loop(task, config.loop, scratch, "v")
        return run_until_killed(loop, die_at), loop

    with second_device(own_generator=True):
        _, whole = trained(tmp_path / "whole")
        assert not trained(tmp_path / "cut", die_at=6)[0]
        _, resumed = trained(tmp_path / "cut")
    curves = [[row | {"train_seconds": 0} for row in loop.curve] for loop in (whole, resumed)]
    assert curves[0] == curves[1]

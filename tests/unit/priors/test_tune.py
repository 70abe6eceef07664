"""The learning-rate sweep."""

import dataclasses
import logging

import pytest

from twostage.config.schema import SweepConfig
from twostage.errors import TwostageError
from twostage.priors.tune import choose, tune
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array
from twostage.runtime.job import Job

TUNE_NLL = "tune_nll_nats_per_token"


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_job(config, folder, variant="t"):
    inputs = {"latents": str(folder / "latents")}
    return Job("priors", "tune", variant, "smoke", dataclasses.asdict(config), inputs, str(folder / variant), [])


def test_the_lowest_nll_wins_and_an_edge_is_flagged():
    def chosen(*nll):
        metrics = choose([{"learning_rate": 10.0**i, TUNE_NLL: value} for i, value in enumerate(nll)], TUNE_NLL)
        return metrics["learning_rate"], metrics["at_edge"]

    assert chosen(3.0, 2.0, 2.5) == (10.0, False)
    assert chosen(1.0, 2.0, 2.5) == (1.0, True)
    assert chosen(3.0, 2.0, 1.5) == (100.0, True)
    assert chosen(3.0, 2.0, None) == (10.0, False)
    assert chosen(3.0) == (1.0, False)
    with pytest.raises(TwostageError, match="diverged with all learning rates"):
        chosen(None, None)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_the_sweep_is_recorded_and_a_diverged_run_does_not_end_it(
    architecture, prior_config, latents, tmp_path, caplog
):
    config = prior_config(architecture, learning_rate=None, sweep=SweepConfig([1e-6, 1e-2, 1e30], 40))
    with caplog.at_level(logging.WARNING):
        tune(config, make_job(config, tmp_path))
    found = read_csv(tmp_path / "t/sweep.csv")
    assert [float(row["learning_rate"]) for row in found] == [1e-6, 1e-2, 1e30]
    assert found[2][TUNE_NLL] == ""
    assert "lower the learning rate" in caplog.text
    metrics = read_json(tmp_path / "t/metrics.json")
    assert metrics["learning_rate"] == 1e-2
    assert metrics[TUNE_NLL] == float(found[1][TUNE_NLL]) < float(found[0][TUNE_NLL])
    assert metrics["at_edge"] is False


def test_the_sweep_sees_the_tune_split_and_never_the_validation_split(prior_config, latents, tmp_path):
    config = prior_config("gpt")
    tune(config, make_job(config, tmp_path, "a"))
    validation = read_array(latents / "validation_index.npy") * 0
    write_array(latents / "validation_index.npy", validation)
    tune(config, make_job(config, tmp_path, "b"))
    assert (tmp_path / "a/sweep.csv").read_bytes() == (tmp_path / "b/sweep.csv").read_bytes()
    write_array(latents / "tune_index.npy", read_array(latents / "tune_index.npy") * 0)
    tune(config, make_job(config, tmp_path, "c"))
    assert (tmp_path / "a/sweep.csv").read_bytes() != (tmp_path / "c/sweep.csv").read_bytes()


def test_an_edge_is_warned_of_and_an_empty_sweep_refused(prior_config, latents, tmp_path, caplog):
    config = prior_config("gpt", sweep=SweepConfig([1e-5, 1e-4], 3))
    with caplog.at_level(logging.WARNING):
        tune(config, make_job(config, tmp_path))
    assert "at the edge of the sweep" in caplog.text
    assert read_json(tmp_path / "t/metrics.json")["at_edge"] is True
    with pytest.raises(TwostageError, match=r"priors\.sweep\.learning_rates"):
        tune(prior_config("gpt", sweep=None), make_job(config, tmp_path))

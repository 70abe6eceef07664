"""The verb `priors.pace`: what a step costs in steps of a rival, whatever else slows both down."""

import dataclasses

import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.planning.verbs import VERBS
from twostage.priors.model import build
from twostage.priors.pace import WARM_UP_ROUNDS, PaceConfig, Ratio, alternate, flops_per_step, pace
from twostage.priors.task import PriorTask, new_task
from twostage.runtime import training
from twostage.runtime.artifacts import read_csv, read_json
from twostage.runtime.job import Job


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Machine:
    """A clock that steps move, by what they cost and by how slow the machine is just then."""

    def __init__(self, monkeypatch, slowness=lambda seconds: 1.0):
        self.seconds, self.slowness, self.order = 0.0, slowness, []
        monkeypatch.setattr(training, "training_clock", lambda: self.seconds)

    def step(self, name, cost):
        def one(number):
            self.order.append((name, number))
            self.seconds += cost * self.slowness(self.seconds)

        return one

    def pair(self):
        return {"own": self.step("own", 0.1), "rival": self.step("rival", 0.15)}


def test_rivals_step_in_turn_and_every_step_is_another(monkeypatch):
    machine = Machine(monkeypatch)
    rounds = alternate(machine.pair(), 6, 6, 0.0)
    assert len(rounds) == 6
    assert rounds[0] == pytest.approx({"own": 0.2, "rival": 0.3})
    names = [name for name, _ in machine.order]
    assert names == ["own", "rival", "rival", "own"] * (6 + WARM_UP_ROUNDS)
    for name in ("own", "rival"):
        assert [number for one, number in machine.order if one == name] == list(range(2 * (6 + WARM_UP_ROUNDS)))


def test_a_quiet_machine_is_measured_briefly_and_a_busy_one_until_the_spread_is_small(monkeypatch):
    assert len(alternate(Machine(monkeypatch).pair(), 8, 200, 0.01)) == 8
    rng = np.random.default_rng(0)
    rounds = alternate(Machine(monkeypatch, lambda _: rng.lognormal(0, 0.05)).pair(), 8, 200, 0.01)
    assert 8 < len(rounds) < 200
    ratio = Ratio.of(rounds)
    assert ratio.spread <= 0.01
    assert ratio.median == pytest.approx(1.5, rel=0.03)


def test_a_wild_machine_ends_the_measuring_at_its_bound(monkeypatch):
    rng = np.random.default_rng(0)
    assert len(alternate(Machine(monkeypatch, lambda _: rng.lognormal(0, 1.0)).pair(), 8, 20, 0.01)) == 20


def test_the_first_rounds_are_not_counted(monkeypatch):
    machine = Machine(monkeypatch, lambda seconds: 50.0 if seconds < 2 else 1.0)
    ratio = Ratio.of(alternate(machine.pair(), 8, 8, 0.0))
    assert dataclasses.astuple(ratio) == pytest.approx((1.5, 1.5, 1.5))


@pytest.mark.parametrize(
    "slowness",
    [
        lambda seconds: 1 + seconds / 20,  # ever slower
        lambda seconds: 1.7 if seconds > 5 else 1.0,  # neighbours come and stay
        lambda seconds: 2.0 if 5 < seconds < 6 else 1.0,  # and go
    ],
)
def test_a_machine_that_slows_down_moves_no_ratio(monkeypatch, slowness):
    ratio = Ratio.of(alternate(Machine(monkeypatch, slowness).pair(), 20, 20, 0.0))
    assert ratio.median == pytest.approx(1.5, rel=0.01)
    assert ratio.low <= ratio.median <= ratio.high


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        rounds = [{"own": 1.0, "rival": value} for value in rng.lognormal(0, 0.3, 20)]
        ratio = Ratio.of(rounds)
        inside += ratio.low <= 1.0 <= ratio.high
    assert 0.94 < inside / 1000 <= 0.99


def test_too_few_rounds_have_no_interval():
    with pytest.raises(TwostageError, match="at least 6 rounds, got 5"):
        Ratio.of([{"own": 1.0, "rival": 1.0}] * 5)


def test_it_leaves_the_ratio_its_rounds_and_both_costs(prior_config, latents, condition, monkeypatch, tmp_path):
    config = PaceConfig(prior_config("gpt"), prior_config("pixelsnail"), min_rounds=7, max_rounds=7, spread=0.0)
    inputs = {f"{name}.{kind}": str(tmp_path / kind) for name in ("own", "rival") for kind in ("latents", "condition")}
    job = Job("priors", "pace", "v", "smoke", {}, inputs, str(tmp_path / "out"), VERBS["priors.pace"].files)
    pace(config, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    metrics, rounds = read_json(job.folder / "metrics.json"), read_csv(job.folder / "rounds.csv")
    assert metrics["num_rounds"] == len(rounds) == 7
    ratios = [float(one["rival"]) / float(one["own"]) for one in rounds]
    assert metrics["seconds_ratio"] == pytest.approx(np.median(ratios))
    assert metrics["seconds_ratio_ci95_low"] <= metrics["seconds_ratio"] <= metrics["seconds_ratio_ci95_high"]
    seconds = metrics["seconds_per_step"]
    assert seconds["rival"] / seconds["own"] == pytest.approx(metrics["seconds_ratio"])
    assert metrics["architecture"] == {"own": "gpt", "rival": "pixelsnail"}
    assert metrics["threads"] == torch.get_num_threads()
    assert all(count > 0 for count in metrics["gflops_per_step"].values())


def test_a_prior_against_itself_costs_the_same(prior_config, latents, monkeypatch, tmp_path):
    """Real steps on the real clock: the same prior on both sides, so the ratio is known to be 1."""
    config = PaceConfig(prior_config("gpt"), prior_config("gpt"), min_rounds=20, max_rounds=100, spread=0.02)
    inputs = {f"{name}.latents": str(latents) for name in ("own", "rival")}
    job = Job("priors", "pace", "v", "smoke", {}, inputs, str(tmp_path / "out"), VERBS["priors.pace"].files)
    pace(config, job)
    metrics = read_json(job.folder / "metrics.json")
    assert metrics["seconds_ratio"] == pytest.approx(1, abs=0.05)
    assert metrics["gflops_per_step"]["own"] == metrics["gflops_per_step"]["rival"]


def test_measuring_changes_no_weights(prior_config, latents):
    config, split = prior_config("gpt"), open_latents(latents).split("train")
    task = PriorTask(build(config, open_latents(latents).tokens), config, 0.0, split, split)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    alternate({"own": task.step, "rival": task.step}, 6, 6, 0.0)
    assert all(torch.equal(before[name], value) for name, value in task.model.state_dict().items())


def test_flops_of_a_transformer_are_those_of_its_matrices(prior_config, latents):
    """Six a weight and token, forward and backward, and attention's two products of T x T a layer."""
    config = prior_config("gpt")
    opened = open_latents(latents)
    task = PriorTask(build(config, opened.tokens), config, 0.0, opened.split("train"), opened.split("train"))
    batch, tokens, width, layers = config.loop.batch_size, 16, config.gpt.width, config.gpt.num_layers
    weights = 12 * width**2 * layers + width * opened.tokens.num_codes
    attention = layers * 3 * 2 * 2 * batch * tokens**2 * width
    assert flops_per_step(task) == pytest.approx(6 * weights * batch * tokens + attention, rel=0.02)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_flops_grow_with_the_batch(architecture, prior_config, latents):
    def flops(batch_size):
        config = prior_config(architecture)
        config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, batch_size=batch_size))
        split = open_latents(latents).split("train")
        return flops_per_step(new_task(build(config, TokenSpace(11, (4, 4))), config, 0.0, split, split))

    assert flops(8) == pytest.approx(2 * flops(4), rel=0.05)

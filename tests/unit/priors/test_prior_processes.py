"""Training a prior with several processes is training it with one: the same curve, the same weights."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.processes import run_until_killed, surroundings, together
from twostage.config.schema import AbsorbingConfig, GPTConfig, LoopConfig, SundaeConfig, TransformerConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.priors.model import build
from twostage.priors.task import new_task
from twostage.runtime import training
from twostage.runtime.training import EvaluatedRows, Loop, batch_positions, own_parts

# Without dropout, which each process draws for itself.
SIZES = {
    "gpt": GPTConfig(16, 2, 2, 0.0),
    "sundae": SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, unrolls=2),
    "absorbing": AbsorbingConfig("transformer", TransformerConfig(16, 2, 2, 0.0), None, None, "reweighted"),
}
# The validation split has 10 images: the last batch of 2 cannot be divided among 3 processes.
LOOP = LoopConfig(steps=50, batch_size=4, evaluate_every=5, checkpoint_every=10, seed=0, precision="float32")


def run(config, folder, die_at=None):
    """Curve and weights after the run; the curve so far if it dies at a step."""
    training.seed_everything(0)
    latents = open_latents(folder / "latents")
    task = new_task(build(config, latents.tokens), config, 1e-3, latents.split("train"), latents.split("validation"))
    loop = Loop(task, config.loop, folder / "scratch", "test")
    began = loop.step
    if not run_until_killed(loop, die_at):
        return began, None, None
    return began, loop.curve, {name: tensor.numpy() for name, tensor in task.weights().items()}


def assert_close(one, other):
    """Curves and weights, within 1e-5."""
    (_, curve, weights), (_, other_curve, other_weights) = one, other
    assert [row["step"] for row in curve] == [row["step"] for row in other_curve]
    for row, other_row in zip(curve, other_curve, strict=True):
        without = {"train_seconds": 0.0}
        assert row | without == pytest.approx(other_row | without, rel=1e-5, abs=1e-5)
    assert weights.keys() == other_weights.keys()
    for name, array in weights.items():
        np.testing.assert_allclose(array, other_weights[name], rtol=1e-4, atol=1e-5, err_msg=name)


def config_of(prior_config, architecture, **changes):
    return prior_config(architecture, loop=dataclasses.replace(LOOP, **changes), **{architecture: SIZES[architecture]})


@pytest.mark.parametrize("architecture", SIZES)
def test_two_processes_follow_the_curve_of_one(architecture, prior_config, latents, tmp_path):
    config = config_of(prior_config, architecture)
    alone = run(config, tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "alone")
    first, second = together(2, run, config, tmp_path)
    assert_close(first, alone)
    assert alone[1][-1]["loss"] < alone[1][1]["loss"]
    # Not only close: replicas that drift apart would train different models.
    assert all((array == second[2][name]).all() for name, array in first[2].items())


def test_parts_and_uneven_validation_change_nothing(prior_config, latents, tmp_path):
    changes = {"batch_size": 12, "steps": 10}
    alone = run(config_of(prior_config, "gpt", **changes), tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "alone")
    first, *_ = together(3, run, config_of(prior_config, "gpt", **changes, accumulate=2), tmp_path)
    assert_close(first, alone)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_goes_on_with_another_number_of_processes(before, after, prior_config, latents, tmp_path):
    config = config_of(prior_config, "gpt")
    whole = run(config, tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "whole")
    together(before, run, config, tmp_path, 27)
    resumed = together(after, run, config, tmp_path)
    assert [began for began, _, _ in resumed] == [20] * after
    assert_close(resumed[0], whole)


@pytest.mark.parametrize("architecture", ["gpt", "sundae", "absorbing"])
def test_a_sharded_prior_follows_the_curve_of_a_whole_one(architecture, prior_config, latents, tmp_path):
    alone = run(config_of(prior_config, architecture, steps=20), tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "alone")
    first, second = together(2, run, config_of(prior_config, architecture, steps=20, sharding="fsdp"), tmp_path)
    assert first[1] == [row | {"train_seconds": pytest.approx(row["train_seconds"], abs=99)} for row in second[1]]
    assert second[2] == {}
    assert_close(first, alone)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_sharded_run_goes_on_with_another_number_of_processes(before, after, prior_config, latents, tmp_path):
    whole = run(config_of(prior_config, "gpt", steps=20), tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "whole")
    config = config_of(prior_config, "gpt", steps=20, sharding="fsdp")
    together(before, run, config, tmp_path, 13)
    resumed = together(after, run, config, tmp_path)
    assert [began for began, _, _ in resumed] == [10] * after
    assert_close(resumed[0], whole)


@pytest.mark.parametrize("architecture", SIZES)
def test_blocks_that_are_computed_again_give_the_same_weights(architecture, prior_config, latents, tmp_path):
    sizes = SIZES[architecture]
    dropped = sizes if architecture == "absorbing" else dataclasses.replace(sizes, dropout=0.5)
    loop = dataclasses.replace(LOOP, steps=5)
    results = []
    for again in (False, True):
        loop = dataclasses.replace(loop, checkpoint_activations=again)
        results.append(run(prior_config(architecture, loop=loop, **{architecture: dropped}), tmp_path)[2])
        (tmp_path / "scratch").rename(tmp_path / f"scratch {again}")
    assert all((array == results[1][name]).all() for name, array in results[0].items())


@pytest.mark.parametrize(("number", "accumulate"), [(1, 1), (2, 1), (4, 3)])
def test_an_epoch_gives_each_example_to_one_process_once(number, accumulate, monkeypatch):
    config = dataclasses.replace(LOOP, batch_size=12, accumulate=accumulate)
    seen = []
    for rank in range(number):
        for name, value in surroundings(rank, number).items():
            monkeypatch.setenv(name, value)
        for step in range(5):
            positions = batch_positions(60, 12, 0, step)
            seen += [positions[part].tolist() for part in own_parts(config)]
    assert {len(part) for part in seen} == {12 // number // accumulate}
    assert sorted(position for part in seen for position in part) == list(range(60))


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("num_rows", [1, 2, 4, 7, 10])
def test_each_held_out_row_is_counted_once(number, num_rows, monkeypatch):
    counted = []
    for rank in range(number):
        for name, value in surroundings(rank, number).items():
            monkeypatch.setenv(name, value)
        own = EvaluatedRows.of(num_rows)
        rows = list(range(num_rows))[own.rows]
        assert len(rows) == -(-num_rows // number)
        counted += rows[len(rows) - own.num_counted :]
    assert sorted(counted) == list(range(num_rows))


@pytest.mark.parametrize(
    ("number", "accumulate", "said"), [(3, 1, "batch_size=4 .* 3 processes"), (1, 3, "accumulate")]
)
def test_a_batch_that_cannot_be_divided_is_refused(number, accumulate, said, monkeypatch):
    for name, value in surroundings(0, number).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TwostageError, match=said):
        own_parts(dataclasses.replace(LOOP, accumulate=accumulate))


def test_processes_draw_dropout_of_their_own(prior_config, latents, tmp_path):
    config = prior_config("gpt", gpt=dataclasses.replace(SIZES["gpt"], dropout=0.5), loop=LOOP)

    def drawn():
        run(config, tmp_path, die_at=1)
        return torch.rand(3).tolist()

    first, second = together(2, drawn)
    assert first != second

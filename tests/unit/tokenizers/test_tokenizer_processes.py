"""Training a tokenizer with several processes is training it with one: curve, codebook, discriminator."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.processes import run_until_killed, together
from twostage.runtime import launch, training
from twostage.runtime.training import Loop
from twostage.tokenizers.discriminator import BatchNorm
from twostage.tokenizers.task import MapData, TokenizerTask, build_models

from .conftest import RandomPerceptual, small_config


def config_of(**changes):
    """A VQGAN with all that knows of a whole batch: averaged codes, revival, batch norm, augmentation, LeCam."""
    settings = {
        "quantizer__learned_by": "ema",
        "quantizer__num_codes": 32,
        "quantizer__revive_after": 5,
        "discriminator__augment": True,
        "discriminator__lecam": 0.01,
        "loss__adversarial_start": 10,
        "loss__perceptual": "vgg",
        "loop__steps": 50,
        "loop__evaluate_every": 5,
        "loop__checkpoint_every": 10,
    }
    return small_config(**settings | changes)


def run(config, folder, die_at=None):
    """Where the run began, its curve, and what it made; no curve if it dies at a step."""
    training.seed_everything(0)
    data = MapData.open(folder / "data", "image")
    task = TokenizerTask(config, build_models(config, data, RandomPerceptual()), data)
    loop = Loop(task, config.loop, folder / "scratch", "test")
    began = loop.step
    if not run_until_killed(loop, die_at):
        return began, None, None
    return began, loop.curve, made_by(task)


@torch.no_grad()
def made_by(task):
    """What the trained networks do, and the codebook.

    Not all weights: a bias before a norm has no effect, and Adam moves it as far for a gradient that is rounding alone.
    """
    models = task.models
    image_BCHW = models.tokenizer.prepare(task.data.tune_NHWC[:8])
    norms = dict(models.discriminator.named_buffers()) if models.discriminator else {}
    found = {
        **norms,
        **dict(task.keeper.named_buffers()),
        "codebook": models.tokenizer.quantizer.codebook_KD,
        "index": models.tokenizer.eval().encode(image_BCHW),
        "output": models.tokenizer(image_BCHW).output_BCHW,
    }
    if models.discriminator is not None:
        found["logits"] = models.discriminator.eval()(image_BCHW)
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def assert_close(one, other):
    """Curves, codebook, and outputs within 1e-5."""
    (_, curve, made), (_, other_curve, other_made) = one, other
    assert [row["step"] for row in curve] == [row["step"] for row in other_curve]
    for row, other_row in zip(curve, other_curve, strict=True):
        without = {"train_seconds": 0.0}
        assert row | without == pytest.approx(other_row | without, rel=1e-5, abs=1e-5)
    for name, array in made.items():
        np.testing.assert_allclose(array, other_made[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("learned_by", ["ema", "gradient"])
def test_two_processes_follow_the_curve_of_one(learned_by, tmp_path):
    config = config_of(quantizer__learned_by=learned_by)
    alone = run(config, tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "alone")
    first, second = together(2, run, config, tmp_path)
    assert_close(first, alone)
    assert alone[2]["num_revived"] > 0
    assert all((array == second[2][name]).all() for name, array in first[2].items())


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_goes_on_with_another_number_of_processes(before, after, tmp_path):
    config = config_of(loop__steps=30)
    whole = run(config, tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "whole")
    together(before, run, config, tmp_path, 17)
    resumed = together(after, run, config, tmp_path)
    assert [began for began, _, _ in resumed] == [10] * after
    assert_close(resumed[0], whole)


@pytest.mark.usefixtures("data_folder")
def test_parts_change_a_tokenizer_without_a_discriminator_by_rounding_alone(tmp_path):
    config = config_of(loss__adversarial="none", loop__steps=10)
    alone = run(config, tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "alone")
    parts = dataclasses.replace(config, loop=dataclasses.replace(config.loop, accumulate=2))
    assert_close(run(parts, tmp_path), alone)


def normed(image_BCHW, rank=None, number=1):
    """Outputs, running statistics and gradients of the batch norm of some rows."""
    torch.manual_seed(0)
    norm = BatchNorm(3)
    torch.nn.init.normal_(norm.weight)
    rows = image_BCHW if rank is None else image_BCHW.chunk(number)[rank]
    rows = rows.clone().requires_grad_()
    out_BCHW = norm(rows)
    (gradient_BCHW,) = torch.autograd.grad(out_BCHW.pow(3).sum(), rows)
    return [it.detach().numpy() for it in (out_BCHW, gradient_BCHW, norm.running_mean, norm.running_var)]


def test_batch_norm_is_over_all_processes():
    image_BCHW = 5 + torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = normed(image_BCHW)

    def part():
        return normed(image_BCHW, launch.rank(), 3)

    parts = together(3, part)
    for number in (0, 1):
        together_BCHW = np.concatenate([each[number] for each in parts])
        np.testing.assert_allclose(together_BCHW, whole[number], rtol=1e-4, atol=1e-5)
    for number in (2, 3):
        np.testing.assert_allclose(parts[1][number], whole[number], rtol=1e-6)

"""The training step and the evaluation that both architectures share."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.priors.gpt import GPT
from twostage.priors.model import build
from twostage.priors.task import PriorTask, decay_groups, warmed_up
from twostage.runtime import training
from twostage.runtime.scores import NLL


def make_task(config, latents, condition=None, rate=1e-2):
    training.seed_everything(config.loop.seed)
    opened = open_latents(latents, condition)
    return PriorTask(build(config, opened.tokens), config, rate, opened.split("train"), opened.split("validation"))


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_loss_and_evaluation_are_the_mean_nll_of_image_codes_only(architecture, prior_config, latents, condition):
    config = prior_config(architecture)
    task = make_task(config, latents, condition)
    split = task.held_out
    task.model.eval()
    image = torch.tensor(split.image_NT.astype(np.int64))
    given = torch.tensor(split.condition_NS.astype(np.int64))
    logits = task.model(image, given)
    assert logits.shape == (10, 16, 11)  # not 32 tokens: nothing is predicted of the condition
    expected = functional.cross_entropy(logits.flatten(0, 1), image.flatten()).item()
    # Ten images in batches of four: the last, smaller batch must not weigh more.
    assert task.evaluate()[NLL] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_an_untrained_prior_pays_about_the_uniform_price(architecture, prior_config, latents):
    assert make_task(prior_config(architecture), latents).evaluate()[NLL] == pytest.approx(np.log(11), abs=0.2)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_evaluation_leaves_training_as_it_was(architecture, prior_config, latents):
    def losses(evaluate):
        task = make_task(prior_config(architecture), latents)
        found = []
        for step in range(4):
            if evaluate:
                first, second = task.evaluate(), task.evaluate()
                assert first == second
            found.append(task.step(step)["loss"].item())
        return found

    assert losses(True) == losses(False)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_training_learns_what_the_latents_hold(architecture, prior_config, latents, condition):
    config = prior_config(architecture)
    task = make_task(config, latents, condition)
    first = task.evaluate()[NLL]
    for step in range(40):
        task.step(step)
    assert task.evaluate()[NLL] < first - 0.4


def test_both_architectures_see_the_same_images_in_the_same_order(prior_config, latents, monkeypatch):
    def batches(architecture):
        task, seen = make_task(prior_config(architecture), latents), []
        whole = task._nll
        monkeypatch.setattr(task, "_nll", lambda split, positions: seen.append(positions) or whole(split, positions))
        for step in range(20):
            task.step(step)
        return np.stack(seen)

    ours = batches("gpt")
    assert (ours == batches("pixelsnail")).all()
    assert sorted(ours[:12].ravel()) == list(range(48))  # an epoch, without replacement
    assert (ours[12:] != ours[:8]).any()


def test_only_matrices_decay(prior_config, latents, condition):
    for architecture in ("gpt", "pixelsnail"):
        model = build(prior_config(architecture), open_latents(latents, condition).tokens)
        decayed, free = decay_groups(model, 0.01)
        assert decayed["weight_decay"] == 0.01
        assert free["weight_decay"] == 0
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        assert len(decayed["params"]) + len(free["params"]) == len(names)
        decayed_names = {names[id(parameter)] for parameter in decayed["params"]}
        assert all(name.endswith("weight") and "norm" not in name for name in decayed_names)
        assert not decayed_names & {"codes.weight", "condition_codes.weight", "condition.codes.weight"}
        assert {"head.weight"} < decayed_names


def test_warmup_is_linear_then_constant():
    assert [warmed_up(1.0, 4, step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmed_up(2.0, 0, 0) == 2.0


def test_gradients_are_clipped_to_the_global_norm(prior_config, latents):
    task = make_task(dataclasses.replace(prior_config("gpt"), gradient_clip=1e-3), latents)
    task.step(0)
    norm = torch.stack([parameter.grad.norm() for parameter in task.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_bfloat16_is_close_to_float32_and_other_precisions_are_refused(prior_config, latents):
    def nll(precision):
        config = prior_config("gpt")
        return make_task(
            dataclasses.replace(config, loop=dataclasses.replace(config.loop, precision=precision)), latents
        ).evaluate()[NLL]

    assert nll("bfloat16") == pytest.approx(nll("float32"), rel=0.01)
    with pytest.raises(TwostageError, match=r"loop\.precision=float8 is unknown"):
        nll("float8")


def test_unknown_architectures_and_missing_sizes_are_named(prior_config, latents):
    tokens = open_latents(latents).tokens
    with pytest.raises(TwostageError, match="architecture=lstm is unknown"):
        build(dataclasses.replace(prior_config("gpt"), architecture="lstm"), tokens)
    with pytest.raises(TwostageError, match=r"set priors\.pixelsnail"):
        build(dataclasses.replace(prior_config("gpt"), architecture="pixelsnail"), tokens)
    assert isinstance(build(prior_config("gpt"), tokens), GPT)

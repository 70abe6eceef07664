"""Priors of other orders than row-major: only the sequence changes; what goes in and comes out stays a grid."""

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

from twostage import priors
from twostage.config.schema import ORDERINGS
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace, open_latents
from twostage.latents.orderings import ordering
from twostage.priors.model import Prior, build
from twostage.priors.task import PriorTask
from twostage.priors.train import train
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL
from twostage.sampling import sample, uniform_table


def make_task(config, latents, condition=None):
    training.seed_everything(config.loop.seed)
    opened = open_latents(latents, condition)
    return PriorTask(build(config, opened.tokens), config, 1e-2, opened.split("train"), opened.split("validation"))


def peaked(config, tokens):
    """A prior whose conditionals are far from uniform."""
    torch.manual_seed(1)
    model = build(config, tokens).eval()
    for parameter in model.parameters():
        parameter.data.mul_(8)
    return Prior(model, first_predicted=0)


def log_likelihood(prior, index_BT):
    return prior.logits(index_BT).log_softmax(-1).gather(-1, index_BT[..., None]).sum((1, 2))


@pytest.mark.parametrize("name", ORDERINGS)
def test_every_order_has_the_same_initialisation_and_the_same_batches(name, prior_config, latents):
    ours, theirs = (make_task(prior_config("gpt", ordering=other), latents) for other in (name, "row_major"))
    weights = theirs.model.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in ours.model.state_dict().items())
    seen = {}
    for task in (ours, theirs):
        task.model.register_forward_pre_hook(lambda module, inputs, task=task: seen.update({task: inputs[0]}))
        task.step(0)
    assert torch.equal(seen[ours], seen[theirs][:, ordering(name, 4, 4)])


def test_training_permutes_image_tokens_and_leaves_the_condition_alone(prior_config, latents, condition):
    task = make_task(prior_config("gpt", ordering="spiral_out"), latents, condition)
    seen = []
    task.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    nll = task.evaluate()[NLL]
    image_BT, condition_BS = (torch.cat(parts) for parts in zip(*seen, strict=True))
    image_NT, condition_NS = (torch.from_numpy(part.astype(np.int64)) for part in dataclasses.astuple(task.held_out))
    assert torch.equal(image_BT, image_NT[:, ordering("spiral_out", 4, 4)])
    assert torch.equal(condition_BS, condition_NS)
    logits_BTV = task.model(image_BT, condition_BS)
    assert nll == pytest.approx(functional.cross_entropy(logits_BTV.flatten(0, 1), image_BT.flatten()).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["spiral_out", "subsample", "random"])
def test_samples_are_grids_of_the_models_distribution(name, prior_config):
    prior = peaked(prior_config("gpt", ordering=name), TokenSpace(2, (2, 2)))
    grids = torch.tensor(list(product(range(2), repeat=4)))
    likelihood = log_likelihood(prior, grids).exp()
    assert likelihood.sum().item() == pytest.approx(1, abs=1e-5)
    assert likelihood.max() > 2 * likelihood.min()
    index_BT = sample(prior.model, uniform_table(20_000, 4, torch.Generator().manual_seed(0))).flatten(1)
    share = torch.bincount((index_BT * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16) / 20_000
    torch.testing.assert_close(share, likelihood, atol=0.015, rtol=0)


def test_a_logit_depends_on_what_precedes_its_token_in_the_order(prior_config):
    prior = peaked(prior_config("gpt", ordering="spiral_in"), TokenSpace(5, (3, 3)))
    index_BT = torch.randint(5, (4, 9))
    before = prior.logits(index_BT)
    order = ordering("spiral_in", 3, 3)
    for t, position in enumerate(order):
        changed_BT = index_BT.clone()
        changed_BT[:, position] = (changed_BT[:, position] + 1) % 5
        same = (prior.logits(changed_BT) == before).all(-1).all(0)
        assert same[order[: t + 1]].all()
        assert not same[order[t + 1 :]].any()


def test_a_stored_prior_knows_its_order(prior_config, latents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = prior_config("gpt", ordering="alternate")
    inputs = {"latents": str(latents)}
    job = Job("priors", "train", "v", "smoke", dataclasses.asdict(config), inputs, str(tmp_path / "v"), [])
    train(config, job)
    assert read_json(tmp_path / "v/config.json")["ordering"] == "alternate"
    metrics = read_json(tmp_path / "v/metrics.json")
    assert metrics["ordering"] == "alternate"
    prior = priors.load(tmp_path / "v")
    assert prior.model.ordering == "alternate"
    index_NT = torch.from_numpy(read_array(latents / "validation_index.npy").reshape(10, 16).astype(np.int64))
    assert -log_likelihood(prior, index_NT).mean().item() / 16 == pytest.approx(metrics[NLL], rel=1e-5)


def test_orders_that_a_model_or_a_grid_does_not_allow_are_one_line(prior_config):
    with pytest.raises(TwostageError, match=r"priors=pixelsnail needs priors\.ordering=row_major, got alternate"):
        build(prior_config("pixelsnail", ordering="alternate"), TokenSpace(5, (4, 4)))
    with pytest.raises(TwostageError, match="ordering zigzag is unknown"):
        build(prior_config("gpt", ordering="zigzag"), TokenSpace(5, (4, 4)))
    with pytest.raises(TwostageError, match=r"orderings\.z_curve needs .* got 4x6"):
        build(prior_config("gpt", ordering="z_curve"), TokenSpace(5, (4, 6)))

"""Samples follow the model's distribution, by whichever road."""

import pytest
import torch

from twostage.latents.dataset import TokenSpace
from twostage.priors import generate
from twostage.priors.generate import draw
from twostage.priors.model import build


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_equal_seeds_give_equal_samples(architecture, tokens, prior_config):
    torch.manual_seed(0)
    model = build(prior_config(architecture), tokens).eval()
    condition_BS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (5, 16))

    def sample(seed):
        return generate(model, 5, torch.Generator().manual_seed(seed), condition_BS=condition_BS)

    assert sample(0).shape == (5, 16)
    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_samples_have_the_frequencies_of_the_model(architecture, prior_config):
    torch.manual_seed(1)
    tokens = TokenSpace(3, (1, 2))
    model = build(prior_config(architecture), tokens).eval()
    for parameter in model.head.parameters():
        parameter.data.mul_(20)
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    log_p = model(pairs).log_softmax(-1).gather(-1, pairs[..., None]).sum((1, 2))
    index_BT = generate(model, 20_000, torch.Generator().manual_seed(0))
    share = torch.bincount(index_BT[:, 0] * 3 + index_BT[:, 1], minlength=9) / 20_000
    torch.testing.assert_close(share, log_p.exp(), atol=0.015, rtol=0)


def test_a_temperature_near_zero_takes_the_likeliest(prior_config):
    torch.manual_seed(0)
    model = build(prior_config("gpt"), TokenSpace(5, (2, 2))).eval()
    cold = generate(model, 3, torch.Generator().manual_seed(0), temperature=1e-4)
    greedy = generate(model, 3, torch.Generator().manual_seed(1), top_k=1)
    assert torch.equal(cold, greedy)


def test_top_k_leaves_the_k_likeliest():
    logits_BV = torch.tensor([[3.0, 1.0, 2.0, -torch.inf]]).expand(3000, 4)
    drawn = draw(logits_BV, torch.Generator().manual_seed(0), top_k=2)
    share = torch.bincount(drawn, minlength=4) / 3000
    assert set(drawn.tolist()) == {0, 2}
    assert share[0].item() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.03)


def test_codes_of_no_probability_are_never_drawn():
    logits_BV = torch.full((1000, 6), -torch.inf)
    logits_BV[:, 3] = 0
    assert (draw(logits_BV, torch.Generator().manual_seed(0)) == 3).all()

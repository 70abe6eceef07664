"""`logits` refuses tokens of another type, shape or range in one line."""

import numpy as np
import pytest
import torch

from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors import DenoisingPrior
from twostage.priors.gpt import ReleasedGPT
from twostage.priors.model import Prior, build

TOKENS = TokenSpace(11, (4, 4))
CLASSED = TokenSpace(11, (4, 4), TokenSpace(3, (1, 1), map="class"))


def finished(prior_config, architecture, tokens=TOKENS, **changes):
    torch.manual_seed(0)
    config = prior_config(architecture, **changes)
    if architecture == "released":
        return Prior(ReleasedGPT(prior_config("gpt").gpt, 11, 16).eval(), 1)
    model = build(config, tokens).eval()
    return DenoisingPrior(model) if architecture in ("sundae", "absorbing") else Prior(model, 0)


def refused(call, *arguments) -> str:
    with pytest.raises(TwostageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "released"])
@pytest.mark.parametrize(
    "given",
    [
        np.zeros((1, 16), np.uint16),
        torch.zeros(1, 16),
        torch.zeros(1, 16, dtype=torch.uint8),
        torch.zeros(16, dtype=torch.int64),
        torch.zeros(1, 4, 4, dtype=torch.int64),
        torch.zeros(0, 16, dtype=torch.int64),
        torch.zeros(1, 17, dtype=torch.int64),
        torch.full((1, 16), 11),
        torch.full((1, 16), -1),
        None,
    ],
)
def test_tokens_are_integers_of_the_vocabulary(prior_config, architecture, given):
    assert refused(finished(prior_config, architecture).logits, given).startswith("logits ")


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
@pytest.mark.parametrize("given", [torch.tensor([[3]]), torch.tensor([[-1]]), torch.tensor([[0.0]]), np.array([[0]])])
def test_conditions_are_integers_of_their_vocabulary(prior_config, architecture, given):
    prior = finished(prior_config, architecture, CLASSED)
    line = refused(prior.logits, torch.zeros(1, 16, dtype=torch.int64), given)
    assert "is out of range; choose from 0 to 2" in line or "takes condition codes as an int64 tensor" in line


def test_the_first_tokens_alone_are_enough_in_row_major_order_only(prior_config):
    first_BT = torch.zeros(1, 5, dtype=torch.int64)
    assert finished(prior_config, "gpt").logits(first_BT).shape == (1, 5, 11)
    assert "T = 16" in refused(finished(prior_config, "gpt", ordering="spiral_in").logits, first_BT)
    assert "T = 16" in refused(finished(prior_config, "sundae").logits, first_BT)

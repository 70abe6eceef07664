"""Small priors whose predictions depend on every token they see."""

import pytest
import torch
from torch import nn

from twostage.configs import GPTConfig, PixelSNAILConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.pixelsnail import PixelSNAIL


def sharp(model, factor, seed=0):
    """Fresh weights in float64, so large that attention and predictions are far from uniform.

    float64: two ways of summing then never straddle a uniform number.
    """
    torch.manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "codes" not in name:
            parameter.data.mul_(factor)
    return model.double().eval()


@pytest.fixture
def small_gpt():
    def build(tokens: TokenSpace, num_layers=2):
        return sharp(GPT(GPTConfig(16, num_layers, 2, 0.0), tokens), factor=15)

    return build


@pytest.fixture
def small_pixelsnail():
    def build(tokens: TokenSpace):
        return sharp(PixelSNAIL(PixelSNAILConfig(8, 1, 1, 2, 4, 8, 1, 4, dropout=0.0), tokens), factor=4)

    return build

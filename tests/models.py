"""A whole model as `twostage sample --model` takes it, tiny and untrained."""

import torch

from tests.unit.priors.conftest import prior_config
from tests.unit.sampling.conftest import GRID, NUM_CODES, write_tokenizer
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import build, store, trained_format


def write_model(folder, architecture, condition=None):
    """Writes tokenizer/ and prior/: 16 codes, f = 4, pictures of 16x16 pixels."""
    write_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    config, tokens = prior_config(architecture), TokenSpace(NUM_CODES, GRID, condition)
    store(folder / "prior", trained_format(config, tokens), build(config, tokens).state_dict())
    return folder

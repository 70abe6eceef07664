"""A prior of a user's plugin is built, stored, loaded, trained and sampled from as ours are."""

import pytest
import torch

from twostage import priors
from twostage.config import plugins
from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import build, store, trained_format
from twostage.sampling.autoregressive import sample
from twostage.sampling.draw import Draw, uniform_table

PLUGIN = """
import torch
from torch import nn

from twostage.priors.model import add_prior


class Previous(nn.Module):
    def __init__(self, sizes, tokens):
        super().__init__()
        self.first = tokens.num_codes
        self.codes = nn.Embedding(tokens.num_codes + 1, sizes["width"])
        self.head = nn.Linear(sizes["width"], tokens.num_codes)

    def forward(self, index_BT, condition_BS=None):
        before_BT = nn.functional.pad(index_BT[:, :-1], (1, 0), value=self.first)
        return self.head(self.codes(before_BT))


add_prior("NAME", Previous)
"""
TOKENS = TokenSpace(5, (2, 3))
CONFIG = PriorConfig(architecture="previous", own={"width": 4}, ordering="spiral_in")


@pytest.fixture
def plugin(tmp_path):
    def load(name="previous"):
        (tmp_path / "prior.py").write_text(PLUGIN.replace("NAME", name))
        plugins.load(tmp_path / "prior.py")

    yield load
    plugins.forget(tmp_path / "prior.py")


def test_it_is_stored_loaded_and_sampled_from(plugin, tmp_path):
    plugin()
    model = build(CONFIG, TOKENS)
    store(tmp_path / "model", trained_format(CONFIG, TOKENS), model.state_dict())
    loaded = priors.load(tmp_path / "model").model
    index_BT = torch.randint(5, (3, 6))
    assert torch.equal(loaded(index_BT), model(index_BT))
    drawn = sample(loaded, uniform_table(2, 6, torch.Generator().manual_seed(0)), Draw())
    assert drawn.shape == (2, 2, 3)


def test_without_its_plugin_it_is_unknown(plugin):
    with pytest.raises(TwostageError, match="previous is unknown"):
        build(CONFIG, TOKENS)


def test_it_cannot_take_the_name_of_one_of_ours(plugin):
    with pytest.raises(TwostageError, match="architecture sundae is taken"):
        plugin("sundae")

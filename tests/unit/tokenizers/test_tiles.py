"""Canvases in tiles: the same pixels and codes as of the whole canvas at once."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.tokenizers.conftest import small_config
from twostage.tokenizers import tiles
from twostage.tokenizers.model import Tokenizer

ROWS, COLUMNS = 18, 11
CONFIGS = {
    "paper": {},
    "two_blocks": {"num_res_blocks": 2},
    "f8": {"num_downsamplings": 3, "channel_multipliers": [1, 1, 2]},
    "attention_lowest": {"layout": "released", "channel_multipliers": [1, 1, 2], "attention_levels": [2]},
    "attention_everywhere": {"layout": "released", "channel_multipliers": [1, 1, 2], "attention_levels": [0, 2]},
}


def sharp(name, kind="colour", num_channels=3, **changes):
    """A tokenizer whose weights are so large, norms and biases included, that every pixel tells."""
    torch.manual_seed(0)
    config = small_config(quantizer__num_codes=128, **CONFIGS[name], **changes)
    tokenizer = Tokenizer(config, kind, num_channels).eval()
    for parameter in tokenizer.parameters():
        std = 1.2 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.3
        nn.init.normal_(parameter, std=std)
    return tokenizer


def codes(tokenizer, number=2):
    return torch.randint(tokenizer.num_codes, (number, ROWS, COLUMNS), generator=torch.Generator().manual_seed(1))


def picture(tokenizer):
    shape = (1, ROWS * tokenizer.factor, COLUMNS * tokenizer.factor, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def difference(tokenizer, side):
    index_BHW = codes(tokenizer)
    whole = tokenizer.decode(index_BHW)
    assert whole.std() > 0.1
    return float((tiles.decode(tokenizer, index_BHW, side * tokenizer.factor) - whole).abs().max())


@pytest.mark.parametrize("side", [4, 7, 30])
@pytest.mark.parametrize("name", CONFIGS)
def test_tiles_decode_to_the_whole_canvas(name, side):
    assert difference(sharp(name), side) < 1e-4


@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("name", CONFIGS)
def test_tiles_encode_to_the_codes_of_the_whole_canvas(name, side):
    tokenizer = sharp(name)
    whole = tokenizer.encode(tokenizer.prepare(picture(tokenizer)))
    assert len(whole.unique()) > 4
    assert torch.equal(tiles.encode(tokenizer, picture(tokenizer), side * tokenizer.factor), whole)


def test_layouts_are_encoded_too():
    tokenizer = sharp("paper", "labels", 5, map="segmentation", loss__reconstruction="cross_entropy")
    label_1HW1 = picture(tokenizer)[..., :1] % 5
    whole = tokenizer.encode(tokenizer.prepare(label_1HW1))
    assert torch.equal(tiles.encode(tokenizer, label_1HW1, 20), whole)
    probability = tiles.decode(tokenizer, codes(tokenizer), 20)
    torch.testing.assert_close(probability.sum(1), torch.ones(2, ROWS * 4, COLUMNS * 4))


def test_one_cell_less_of_margin_shows(monkeypatch):
    margin = tiles.decoder_margin
    monkeypatch.setattr(tiles, "decoder_margin", lambda levels: margin(levels) - 1)
    assert difference(sharp("paper"), 5) > 1e-3


def test_tiles_that_know_only_themselves_differ():
    """Why statistics are shared: with those of the tile alone, a margin of half the canvas does not help."""
    tokenizer = sharp("paper")
    index_BHW = codes(tokenizer, 1)
    whole = tokenizer.decode(index_BHW)[:, :, : 4 * 9]
    alone = tokenizer.decode(index_BHW[:, :14])[:, :, : 4 * 9]
    assert float((alone - whole).abs().max()) > 1e-2


def test_norms_are_as_before_afterwards():
    tokenizer = sharp("paper")
    before = tokenizer.decode(codes(tokenizer))
    tiles.decode(tokenizer, codes(tokenizer), 16)
    assert torch.equal(tokenizer.decode(codes(tokenizer)), before)


@pytest.mark.parametrize(("height", "width", "side", "margin"), [(7, 9, 3, 2), (4, 4, 8, 1), (10, 3, 5, 0)])
def test_cores_cover_the_canvas_once_and_crops_stay_inside(height, width, side, margin):
    covered = np.zeros((height, width), int)
    for tile in tiles.tiles_of(height, width, side, margin):
        covered[tile.core] += 1
        for core, crop, end in zip(tile.core, tile.crop, (height, width), strict=True):
            assert crop == slice(max(core.start - margin, 0), min(core.stop + margin, end))
    assert (covered == 1).all()

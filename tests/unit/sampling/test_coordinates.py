import numpy as np
import pytest
import torch
from torch.nn import functional

from twostage.latents.dataset import TokenSpace
from twostage.sampling import Draw, slide, uniform_table
from twostage.sampling.coordinates import coordinate_codes
from twostage.sampling.sliding import slide_token_by_token


@pytest.mark.parametrize(("size", "factor"), [((16, 16), 16), ((32, 20), 8), ((3, 5), 1), ((6, 4), 4)])
def test_codes_are_the_pooled_ranks_of_the_pixels(size, factor):
    height, width = size[0] * factor, size[1] * factor
    share_HW = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width) / (height * width)
    expected = (functional.avg_pool2d(share_HW, factor) * 1024).round().long()[0, 0]
    assert np.array_equal(coordinate_codes(size, factor, 1024), expected.numpy())


def test_codes_stay_in_the_vocabulary_and_rise_in_row_major_order():
    codes_HW = coordinate_codes((64, 64), 1, 100)
    assert codes_HW.min() == 0
    assert codes_HW.max() == 99
    assert (np.diff(codes_HW.ravel()) >= 0).all()


def test_a_prior_of_coordinates_slides_over_a_canvas(small_gpt):
    model, size = small_gpt(TokenSpace(9, (4, 4), TokenSpace(64, (4, 4)))), (7, 9)
    codes_BHW = torch.from_numpy(coordinate_codes(size, 4, 64)).expand(2, -1, -1)
    uniform_BT = uniform_table(2, 63, torch.Generator().manual_seed(0))
    found = slide(model, uniform_BT, size, Draw(), codes_BHW)
    assert torch.equal(found, slide_token_by_token(model, uniform_BT, size, Draw(), codes_BHW))
    assert not torch.equal(found, slide(model, uniform_BT, size, Draw(), torch.zeros_like(codes_BHW)))

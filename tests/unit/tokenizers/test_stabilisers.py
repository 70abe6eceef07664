"""Augmentation of what the discriminator sees, and the regularizer of its logits."""

import pytest
import torch

from twostage.tokenizers.stabilisers import LeCam, Randomness, _cut, _recoloured, _shifted, augmented


def seeded(seed: int = 0) -> Randomness:
    return Randomness(torch.Generator().manual_seed(seed))


def test_shifts_move_pixels_by_an_eighth_at_most_and_let_zeros_in():
    image_BCHW = torch.arange(1.0, 1 + 16 * 16).view(1, 1, 16, 16).repeat(50, 1, 1, 1)
    found = set()
    for shifted_HW in _shifted(image_BCHW, seeded())[:, 0]:
        (down, right), *_ = (shifted_HW == image_BCHW[0, 0, 8, 8]).nonzero().tolist()
        down, right = down - 8, right - 8
        expected_HW = torch.zeros(16, 16)
        rows, columns = torch.arange(max(0, down), min(16, 16 + down)), torch.arange(max(0, right), min(16, 16 + right))
        expected_HW[rows[:, None], columns] = image_BCHW[0, 0][rows[:, None] - down, columns - right]
        assert torch.equal(shifted_HW, expected_HW)
        found |= {down, right}
    assert found == {-2, -1, 0, 1, 2}


def test_cuts_a_square_of_half_the_side():
    kept_BHW = _cut(torch.ones(200, 3, 16, 16), seeded())[:, 0]
    cut_B = 256 - kept_BHW.sum((1, 2))
    assert cut_B.max() == 64
    assert cut_B.min() >= 16  # a corner of it
    rows_BH, columns_BW = kept_BHW.amin(2) == 0, kept_BHW.amin(1) == 0
    assert torch.equal(cut_B, (rows_BH.sum(1) * columns_BW.sum(1)).float())


def test_colours_keep_the_picture_and_stay_within_the_ranges():
    image_BCHW = torch.rand(100, 3, 4, 4, generator=seeded(1).generator) * 2 - 1
    found_BCHW = _recoloured(image_BCHW, seeded())
    moved_B = (found_BCHW - image_BCHW).mean((1, 2, 3))
    assert -0.5 <= moved_B.min() < -0.3
    assert 0.3 < moved_B.max() <= 0.5
    grey_BHW, found_grey_BHW = image_BCHW.mean(1), found_BCHW.mean(1)
    contrast_B = found_grey_BHW.flatten(1).std(1) / grey_BHW.flatten(1).std(1)
    assert 0.5 <= contrast_B.min() < 0.6
    assert 1.4 < contrast_B.max() <= 1.5


def test_augmentation_is_differentiable_and_follows_its_generator():
    image_BCHW = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    first = augmented(image_BCHW, seeded())
    assert torch.equal(first, augmented(image_BCHW, seeded()))
    assert not torch.equal(first, augmented(image_BCHW, seeded(1)))
    assert torch.autograd.gradcheck(lambda image: augmented(image, seeded()), image_BCHW)


def test_lecam_is_equation_4():
    lecam = LeCam()
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-2.0])
    value = lecam(real, fake)
    mean_real, mean_fake = 0.01 * 2.0, 0.01 * -2.0
    expected = ((1 - mean_fake) ** 2 + (3 - mean_fake) ** 2) / 2 + (-2 - mean_real) ** 2
    assert value.item() == pytest.approx(expected)
    for _ in range(2000):
        lecam(real, fake)
    assert lecam.mean_real.item() == pytest.approx(2.0, abs=1e-3)
    assert lecam.mean_fake.item() == pytest.approx(-2.0, abs=1e-3)

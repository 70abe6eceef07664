import pytest
import torch

from twostage.tokenizers.discriminator import PatchDiscriminator, smallest_side


def test_three_layers_see_patches_of_70_pixels():
    """Isola et al. 2017: the PatchGAN of 3 layers is the 70x70 one; 256 pixels give 30x30 logits."""
    discriminator = PatchDiscriminator(3, 64, 3)
    with torch.device("meta"):
        assert PatchDiscriminator(3, 64, 3)(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    image_BCHW = torch.randn(1, 3, 128, 128, requires_grad=True)
    # In eval mode batch norm mixes no positions.
    (gradient,) = torch.autograd.grad(discriminator.eval()(image_BCHW)[0, 0, 7, 7], image_BCHW)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 70


def test_widths_double_up_to_eightfold():
    discriminator = PatchDiscriminator(3, 2, 5)
    widths = [layer.out_channels for layer in discriminator if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 16, 1]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_smallest_side_is_the_smallest_that_works(num_layers):
    discriminator = PatchDiscriminator(1, 2, num_layers).eval()
    side = smallest_side(num_layers)
    assert discriminator(torch.zeros(1, 1, side, side)).numel() == 1
    with pytest.raises(RuntimeError):
        discriminator(torch.zeros(1, 1, side - 1, side - 1))

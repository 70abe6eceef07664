import pytest
import torch
from torch import nn

from twostage.errors import TwostageError
from twostage.tokenizers.networks import (
    Decoder,
    Encoder,
    NonLocalBlock,
    ResidualBlock,
    Upsample,
    decoder_plan,
    encoder_plan,
)

from .conftest import small_config


def test_paper_layout_is_table_6():
    """Counts and widths of Table 6 for m = 4, C' = 128, C'' = 512, n_z = 256."""
    config = small_config(num_downsamplings=4, channels=128, channel_multipliers=[1, 2, 2, 4])
    with torch.device("meta"):
        encoder, decoder = Encoder(config, 3, 256), Decoder(config, 3, 256)
        image_BCHW, code_BDHW = torch.empty(1, 3, 256, 256), torch.empty(1, 256, 16, 16)
    assert encoder.conv_in.out_channels == 128
    assert [len(level.blocks) for level in encoder.levels] == [1, 1, 1, 1]
    assert encoder(image_BCHW).shape == (1, 256, 16, 16)
    assert decoder.conv_in.out_channels == 512
    assert [len(level.blocks) for level in decoder.levels] == [1, 1, 1, 1]
    # "-> R^{H x W x C'}" after the last upsampling, then straight to the image.
    assert decoder.conv_out.in_channels == 128
    assert decoder(code_BDHW).shape == (1, 3, 256, 256)
    for network in (encoder, decoder):
        assert [type(block) for block in network.middle] == [ResidualBlock, NonLocalBlock, ResidualBlock]
        assert sum(isinstance(module, NonLocalBlock) for module in network.modules()) == 1


def reach(config, side=64):
    """How many pixels, from the first to the last of a row, one code depends on."""
    torch.manual_seed(0)
    image_BCHW = torch.randn(1, 3, side, side, requires_grad=True)
    code_BDHW = Encoder(config, 3, 4).eval()(image_BCHW)
    at = code_BDHW.shape[-1] // 2
    (gradient,) = torch.autograd.grad(code_BDHW[0, :, at, at].sum(), image_BCHW)
    columns = (gradient.abs().sum((0, 1, 2)) > 0).nonzero()
    return int(columns.max() - columns.min()) + 1


def test_without_its_middle_a_code_sees_its_surroundings_alone(monkeypatch):
    # Group norm, too, sees the whole image, though nothing but its mean and spread.
    monkeypatch.setattr(nn.GroupNorm, "forward", lambda self, x: x)
    deep, shallow = small_config(), small_config(middle=False)
    assert reach(deep) == 64
    assert reach(shallow) < 40
    assert len(Decoder(shallow, 3, 4).middle) == 0


def test_released_layout_has_a_level_more_and_attention_in_it():
    config = small_config(layout="released", channel_multipliers=[1, 1, 2], attention_levels=[2], num_res_blocks=2)
    assert [(plan.width, plan.num_blocks, plan.attention, plan.resample) for plan in encoder_plan(config)] == [
        (8, 2, False, True),
        (8, 2, False, True),
        (16, 2, True, False),
    ]
    assert [(plan.width, plan.num_blocks, plan.attention, plan.resample) for plan in decoder_plan(config)] == [
        (16, 3, True, True),
        (8, 3, False, True),
        (8, 3, False, False),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_multipliers": [1, 2, 4]}, "needs 2 channel_multipliers"),
        ({"layout": "released"}, "needs 3 channel_multipliers"),
        ({"attention_levels": [1]}, "attention_levels"),
        ({"layout": "mine"}, "layout mine is unknown"),
    ],
)
def test_config_that_is_no_layout_is_named(changes, message):
    with pytest.raises(TwostageError, match=message):
        encoder_plan(small_config(**changes))


def test_attention_mixes_all_positions():
    """Each output position depends on each input position."""
    torch.manual_seed(0)
    block = NonLocalBlock(8)
    image_BCHW = torch.randn(1, 8, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(image_BCHW)[0, 0, 0, 0], image_BCHW)
    assert (gradient.abs().sum(1) > 0).all()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_upsampling_is_nearest_neighbours_and_a_convolution(memory_format):
    torch.manual_seed(0)
    upsample = Upsample(5).double().to(memory_format=memory_format)
    found = torch.randn(2, 5, 3, 4, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    expected = found.detach().clone().requires_grad_()
    ours = upsample(found)
    plain = upsample.conv(torch.nn.functional.interpolate(expected, scale_factor=2.0, mode="nearest"))
    assert torch.allclose(ours, plain, atol=1e-12)
    cotangent = torch.randn_like(plain)
    gradients = torch.autograd.grad(ours, [found, *upsample.parameters()], cotangent)
    plain_gradients = torch.autograd.grad(plain, [expected, *upsample.parameters()], cotangent)
    for gradient, plain_gradient in zip(gradients, plain_gradients, strict=True):
        assert torch.allclose(gradient, plain_gradient, atol=1e-11)

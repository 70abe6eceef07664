"""Parts of PixelSNAIL against their definitions."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from twostage.config.schema import PixelSNAILConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.linear import Linear
from twostage.priors.pixelsnail import CausalAttention, ConcatELU, Convolution, PixelSNAIL, concat_elu

CONFIG = PixelSNAILConfig(12, 2, 1, 2, 4, 8, 2, 4, 0.0)


def test_concat_elu_is_the_elu_of_both_signs_with_its_gradient():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(concat_elu(x), functional.elu(torch.cat([x, -x], dim=-1)))
    assert torch.autograd.gradcheck(ConcatELU.apply, (x,))


def test_a_down_right_window_sees_up_and_left():
    convolution = Convolution((1, 1), above=1, left=1)
    torch.nn.init.ones_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    image = torch.zeros(1, 3, 3, 1)
    image[0, 1, 1, 0] = 1
    assert convolution(image)[0, :, :, 0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_attention_averages_the_values_strictly_before_a_position():
    attention = CausalAttention(CONFIG)
    codes, x, planes = torch.randn(2, 2, 3, 12), torch.randn(2, 2, 3, 12), torch.randn(2, 2, 3, 3)
    found = attention(codes, x, planes).flatten(1, 2)
    key, value = attention.key_value(torch.cat([codes, x, planes], -1)).flatten(1, 2).split([4, 8], dim=-1)
    query = attention.query(torch.cat([x, planes], -1)).flatten(1, 2)
    assert (found[:, 0] == 0).all()
    for t in range(1, 6):
        for head, (few, many) in enumerate(((slice(0, 2), slice(0, 4)), (slice(2, 4), slice(4, 8)))):
            score = (key[:, :t, few] @ query[:, t, few, None])[..., 0] / 2**0.5
            expected = (score.softmax(-1)[..., None] * value[:, :t, many]).sum(1)
            torch.testing.assert_close(found[:, t, many], expected, msg=f"token {t} head {head}")


def test_gated_blocks_stand_before_query_key_and_value():
    plain, gated = CausalAttention(CONFIG), CausalAttention(replace(CONFIG, gated_attention=True))
    assert plain.before_query is None
    codes, x, planes = torch.randn(2, 2, 3, 12), torch.randn(2, 2, 3, 12), torch.randn(2, 2, 3, 3)
    features = gated.before_query(torch.cat([x, planes], -1), None, None)
    content = gated.before_key_value(torch.cat([codes, x, planes], -1), None, None)
    key, value = gated.key_value(content).flatten(1, 2).split([4, 8], dim=-1)
    query = gated.query(features).flatten(1, 2)
    score = (key[:, :5, :2] @ query[:, 5, :2, None])[..., 0] / 2**0.5
    expected = (score.softmax(-1)[..., None] * value[:, :5, :4]).sum(1)
    torch.testing.assert_close(gated(codes, x, planes).flatten(1, 2)[:, 5, :4], expected)
    # Each is x + a sigmoid(b) of 1x1 convolutions, as wide as what it reads.
    block, inner = gated.before_query, concat_elu(torch.cat([x, planes], -1))
    a, b = block.outer(concat_elu(block.inner(inner))).chunk(2, dim=-1)
    torch.testing.assert_close(features, torch.cat([x, planes], -1) + a * b.sigmoid())
    assert block.inner.kernel_size == gated.before_key_value.outer.kernel_size == (1, 1)


def test_what_is_without_gated_attention_is_as_it_was():
    """Weights of before are read by the same names, and initialised by the same random numbers."""
    torch.manual_seed(0)
    plain = PixelSNAIL(CONFIG, TokenSpace(5, (4, 4))).state_dict()
    torch.manual_seed(0)
    gated = PixelSNAIL(replace(CONFIG, gated_attention=True), TokenSpace(5, (4, 4))).state_dict()
    assert {name for name in gated if "before_" not in name} == set(plain)
    assert len(gated) == len(plain) + 2 * 2 * 4
    assert torch.equal(gated["blocks.0.attention.query.weight"], plain["blocks.0.attention.query.weight"])


def test_the_condition_is_not_a_causal_input():
    torch.manual_seed(0)
    model = PixelSNAIL(CONFIG, TokenSpace(5, (4, 4), TokenSpace(5, (4, 4)))).eval()
    index, condition = torch.zeros(1, 16, dtype=torch.int64), torch.zeros(1, 16, dtype=torch.int64)
    before = model(index, condition)
    condition[0, 5] = 1
    assert (model(index, condition)[:, 0] != before[:, 0]).any()


@pytest.mark.parametrize("rows", [20, 100])
def test_the_fast_linear_layer_is_the_linear_layer(rows):
    layer = Linear(6, 9)
    x = torch.randn(rows, 8, 6, requires_grad=True)
    ours, theirs = layer(x), functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad((ours * weight).sum(), [x, *layer.parameters()]),
        torch.autograd.grad((theirs * weight).sum(), [x, *layer.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(TwostageError, match="on the grid of the image"):
        PixelSNAIL(CONFIG, TokenSpace(5, (4, 4), TokenSpace(5, (2, 2))))
    with pytest.raises(TwostageError, match="attention_key_width=4 is not divisible by num_heads=3"):
        PixelSNAIL(PixelSNAILConfig(12, 2, 1, 2, 4, 9, 3, 4, 0.0), TokenSpace(5, (4, 4)))
    with pytest.raises(TwostageError, match="condition"):
        PixelSNAIL(CONFIG, TokenSpace(5, (4, 4), TokenSpace(5, (4, 4))))(torch.zeros(1, 16, dtype=torch.int64))

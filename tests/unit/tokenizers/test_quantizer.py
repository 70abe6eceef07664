import pytest
import torch

from twostage.errors import TwostageError
from twostage.tokenizers.quantizer import Quantizer, count_codes, perplexity

from .conftest import small_config


def quantizer(codes, **changes) -> Quantizer:
    codes = torch.tensor(codes)
    names = {f"quantizer__{name}": value for name, value in changes.items()}
    config = small_config(quantizer__num_codes=codes.shape[0], quantizer__code_dim=codes.shape[1], **names)
    made = Quantizer(config.quantizer)
    with torch.no_grad():
        made.codebook_KD.copy_(codes)
    return made


def test_nearest_code_is_that_of_all_pairs():
    torch.manual_seed(0)
    made = quantizer(torch.randn(50, 6).tolist())
    z_BDHW = torch.randn(3, 6, 4, 5)
    distance = (z_BDHW.permute(0, 2, 3, 1).unsqueeze(-2) - made.codebook_KD).square().sum(-1)
    assert torch.equal(made.index(z_BDHW), distance.argmin(-1))


def test_nearest_code_is_exact_under_autocast():
    torch.manual_seed(0)
    made = quantizer((10 + 0.01 * torch.randn(50, 6)).tolist())
    z_BDHW = 10 + 0.01 * torch.randn(3, 6, 4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made(z_BDHW).index_BHW, made.index(z_BDHW))


@pytest.mark.parametrize(
    ("changes", "value", "to_encoder", "to_codebook"),
    [
        # z = (1, 0), nearest code (0, 0): squared distance 1, mean over two elements 0.5.
        ({"beta_on": "commitment"}, 0.625, 0.25, -1.0),
        ({"beta_on": "codebook"}, 0.625, 1.0, -0.25),
        ({"learned_by": "ema"}, 0.125, 0.25, None),
    ],
)
def test_equation_4_by_hand(changes, value, to_encoder, to_codebook):
    made = quantizer([[0.0, 0.0], [9.0, 9.0]], **changes)
    z_BDHW = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    loss = made(z_BDHW).loss
    loss.backward()
    assert loss.item() == pytest.approx(value)
    assert z_BDHW.grad.flatten().tolist() == pytest.approx([to_encoder, 0.0])
    if to_codebook is None:
        assert made.codebook_KD.grad is None
    else:
        assert made.codebook_KD.grad.tolist() == [pytest.approx([to_codebook, 0.0]), [0.0, 0.0]]


def test_gradient_goes_straight_through():
    torch.manual_seed(0)
    made = quantizer(torch.randn(8, 3).tolist())
    z_BDHW, wanted_BDHW = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    code_BDHW = made(z_BDHW).code_BDHW
    code_BDHW.backward(wanted_BDHW)
    assert torch.equal(z_BDHW.grad, wanted_BDHW)
    assert made.codebook_KD.grad is None
    torch.testing.assert_close(code_BDHW, made.lookup(made.index(z_BDHW)))


def test_perplexity_of_known_frequencies():
    assert perplexity(torch.tensor([5, 5, 5, 5])) == pytest.approx(4.0)
    assert perplexity(torch.tensor([7, 0, 0])) == pytest.approx(1.0)
    assert count_codes(torch.tensor([[0, 2], [2, 2]]), 4).tolist() == [1, 0, 3, 0]


def test_bad_choices_are_named():
    with pytest.raises(TwostageError, match="learned_by magic"):
        quantizer([[0.0]], learned_by="magic")
    with pytest.raises(TwostageError, match="beta_on nothing"):
        quantizer([[0.0]], beta_on="nothing")(torch.zeros(1, 1, 1, 1))
    with pytest.raises(TwostageError, match=r"has the codes \[0, 1\)"):
        quantizer([[0.0]]).lookup(torch.tensor([[[1]]]))

import math

import pytest
import torch
from torch.nn import functional

from twostage.errors import TwostageError
from twostage.tokenizers.losses import adaptive_weight, discriminator_loss, generator_loss, reconstruction_loss


def test_reconstruction_losses_by_hand():
    output, image = torch.tensor([[[[0.5]], [[-1.0]]]]), torch.tensor([[[[1.0]], [[0.0]]]])
    assert reconstruction_loss("l1", output, image).item() == pytest.approx(0.75)
    assert reconstruction_loss("l2", output, image).item() == pytest.approx(0.625)
    # Label 0 is right: -log of its softmax.
    assert reconstruction_loss("cross_entropy", output, image).item() == pytest.approx(math.log(1 + math.exp(-1.5)))


def test_binary_cross_entropy_takes_edges_in_minus_one_to_one():
    logit, edge = torch.tensor([[[[2.0, 2.0]]]]), torch.tensor([[[[1.0, -1.0]]]])
    expected = 0.5 * (math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(2.0)))
    assert reconstruction_loss("binary_cross_entropy", logit, edge).item() == pytest.approx(expected)


def test_hinge_by_hand():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(0.5 * (0.25 + 0.5))
    assert generator_loss("hinge", fake).item() == pytest.approx(1.5)


def test_log_is_equation_5():
    real, fake = torch.tensor([1.3]), torch.tensor([-0.4])
    value = torch.log(real.sigmoid()) + torch.log(1 - fake.sigmoid())
    assert discriminator_loss("log", real, fake).item() == pytest.approx(-0.5 * value.item())
    assert generator_loss("log", fake).item() == pytest.approx(torch.log(1 - fake.sigmoid()).item())


def test_non_saturating_is_minus_the_log_of_being_taken_for_real():
    real, fake = torch.tensor([1.3]), torch.tensor([-0.4])
    assert generator_loss("non_saturating", fake).item() == pytest.approx(-torch.log(fake.sigmoid()).item())
    assert discriminator_loss("non_saturating", real, fake) == discriminator_loss("log", real, fake)


def test_adaptive_weight_is_autograds():
    torch.manual_seed(0)
    last_layer = torch.nn.Conv2d(6, 3, 3, padding=1)
    hidden_BCHW, image_BCHW = torch.randn(2, 6, 8, 8), torch.randn(2, 3, 8, 8)
    output_BCHW = last_layer(hidden_BCHW)
    losses = (functional.l1_loss(output_BCHW, image_BCHW), output_BCHW.sin().mean())
    norms = [torch.autograd.grad(loss, last_layer.weight, retain_graph=True)[0].norm() for loss in losses]
    at_output = tuple(torch.autograd.grad(loss, output_BCHW, retain_graph=True)[0] for loss in losses)
    for delta in (1e-6, 1e-4, 0.3):
        expected = norms[0] / (norms[1] + delta)
        torch.testing.assert_close(adaptive_weight(hidden_BCHW, at_output, last_layer.weight, delta), expected)


def test_adaptive_weight_without_an_adversarial_gradient_is_held_by_delta_alone():
    hidden_BCHW, weight = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 3, 3)
    gradients = (torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1))
    assert adaptive_weight(hidden_BCHW, gradients, weight, 1e-6).item() == pytest.approx(2e6)


def test_unknown_names_are_told():
    logit = torch.zeros(1, 1, 1, 1)
    with pytest.raises(TwostageError, match=r"loss\.reconstruction huber"):
        reconstruction_loss("huber", logit, logit)
    with pytest.raises(TwostageError, match=r"loss\.adversarial wasserstein"):
        generator_loss("wasserstein", logit)
    with pytest.raises(TwostageError, match=r"loss\.adversarial wasserstein"):
        discriminator_loss("wasserstein", logit, logit)

"""The efficient step against the plain formulation: whole losses, autograd through the full graph, second pass."""

import copy

import pytest
import torch

from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.losses import discriminator_loss, generator_loss, reconstruction_loss
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.stabilisers import Randomness
from twostage.tokenizers.step import Models, Phase, accumulate_gradients

from .conftest import RandomPerceptual, small_config


def models(config) -> Models:
    torch.manual_seed(0)
    tokenizer = Tokenizer(config, "colour", 3)
    with torch.no_grad():
        tokenizer.quantizer.codebook_KD.normal_()
    return Models(tokenizer, PatchDiscriminator(3, 4, 1), RandomPerceptual())


def plain_gradients(models: Models, config, image_BCHW):
    """Losses of both updates and the adaptive weight, written down as the paper's equations say."""
    output_BCHW, _, quantized = models.tokenizer(image_BCHW)
    perceptual = models.perceptual.distance(
        models.perceptual.features(output_BCHW), models.perceptual.features(image_BCHW)
    ).mean()
    reconstruction = reconstruction_loss(config.reconstruction, output_BCHW, image_BCHW)
    reconstruction = reconstruction + config.perceptual_weight * perceptual
    generator = generator_loss(config.adversarial, models.discriminator(output_BCHW))
    last = models.tokenizer.decoder.conv_out.weight
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, generator)]
    weight = config.adversarial_weight * (norms[0] / (norms[1] + config.adaptive_delta)).detach()
    loss = reconstruction + weight * generator + quantized.loss
    loss.backward()
    models.discriminator.zero_grad()
    fake_BCHW = models.tokenizer(image_BCHW).output_BCHW.detach()
    critic = discriminator_loss(config.adversarial, models.discriminator(image_BCHW), models.discriminator(fake_BCHW))
    critic.backward()
    return {"loss": loss, "adaptive_weight": weight, "discriminator": critic, "generator": generator}


def gradients(models: Models) -> dict[str, torch.Tensor]:
    networks = {"tokenizer": models.tokenizer, "discriminator": models.discriminator}
    return {
        f"{name}.{key}": parameter.grad
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("layout", ["paper", "released"])
@pytest.mark.parametrize("adversarial", ["hinge", "log"])
def test_losses_and_gradients_are_the_plain_ones(layout, adversarial):
    changes = {"layout": layout, "channel_multipliers": [1, 2] if layout == "paper" else [1, 1, 2]}
    config = small_config(loss__adversarial=adversarial, loss__adversarial_weight=0.8, **changes)
    efficient = models(config)
    plain = copy.deepcopy(efficient)
    image_BCHW = torch.rand(2, 3, 16, 16) * 2 - 1
    scalars, _ = accumulate_gradients(efficient, config, image_BCHW, Phase.ADVERSARIAL, Randomness(torch.Generator()))
    expected = plain_gradients(plain, config.loss, image_BCHW)
    for name, value in expected.items():
        torch.testing.assert_close(scalars[name], value.detach(), rtol=1e-4, atol=1e-6)
    found, wanted = gradients(efficient), gradients(plain)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_in_warm_up_the_discriminator_rests():
    config = small_config()
    made = models(config)
    before = copy.deepcopy(made.discriminator.state_dict())
    scalars, _ = accumulate_gradients(
        made, config, torch.rand(2, 3, 16, 16), Phase.RECONSTRUCTION, Randomness(torch.Generator())
    )
    assert all(parameter.grad is None for parameter in made.discriminator.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in made.discriminator.state_dict().items())
    assert "adaptive_weight" not in scalars
    assert all(parameter.grad is not None for parameter in made.tokenizer.parameters())


def test_one_pass_through_every_network():
    """The tokenizer runs once; the perceptual network once with and once without graph; the discriminator twice."""
    config = small_config()
    made = models(config)
    calls = {"encoder": 0, "decoder": 0, "perceptual": 0, "discriminator": 0}

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    made.tokenizer.encoder.register_forward_hook(count("encoder"))
    made.tokenizer.decoder.middle.register_forward_hook(count("decoder"))
    made.perceptual.layers[0].register_forward_hook(count("perceptual"))
    made.discriminator.register_forward_hook(count("discriminator"))
    accumulate_gradients(made, config, torch.rand(2, 3, 16, 16), Phase.ADVERSARIAL, Randomness(torch.Generator()))
    assert calls == {"encoder": 1, "decoder": 1, "perceptual": 2, "discriminator": 2}
    assert all(parameter.grad is None for parameter in made.perceptual.parameters())

"""Gradients of one training step from one forward pass.

The reconstruction is detached and becomes a leaf of the graph. The reconstruction loss and the adversarial loss are
each differentiated once, down to this leaf. The adaptive weight needs only these two gradients and the input of the
last layer. Their weighted sum then goes back through the tokenizer once. The discriminator learns from the same
reconstruction. Losses and gradients equal those of the plain formulation, see benchmarks/vqgan_step.py.
"""

# B batch, C channels, H height, W width

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from twostage.config.schema import TokenizerLossConfig
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.losses import adaptive_weight, discriminator_loss, generator_loss, reconstruction_loss
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.quantizer import Quantized


class Perceptual(Protocol):
    """A perceptual distance, such as `twostage.weights.lpips`. It is not trained."""

    def features(self, image_BCHW: Tensor) -> list[Tensor]:
        """Features of images in [-1, 1]."""
        ...

    def distance(self, features_a: list[Tensor], features_b: list[Tensor]) -> Tensor:
        """Distance of each pair, [B]."""
        ...


@dataclass(frozen=True)
class Models:
    """All networks of a step; None for those that the config does not use."""

    tokenizer: Tokenizer
    discriminator: PatchDiscriminator | None
    perceptual: Perceptual | None


class Step(NamedTuple):
    """Scalars of a step, and the inputs of the codebook's update."""

    scalars: dict[str, Tensor]
    quantized: Quantized


def accumulate_gradients(models: Models, config: TokenizerLossConfig, image_BCHW: Tensor, adversarial: bool) -> Step:
    """Adds the gradients of tokenizer and, if `adversarial`, discriminator to their parameters.

    `adversarial` is False during warm-up: lambda is 0, and the discriminator is not trained.
    Source: Esser et al. 2021, Eq. 4 to 7.
    """
    forward = models.tokenizer(image_BCHW)
    output_BCHW = forward.output_BCHW
    leaf_BCHW = output_BCHW.detach().requires_grad_()
    scalars, gradient_BCHW = _reconstruction(models, config, leaf_BCHW, image_BCHW)
    scalars["quantizer"] = forward.quantized.loss.detach()
    scalars["loss"] = scalars["loss"] + scalars["quantizer"]
    if adversarial:
        more, adversarial_BCHW = _adversarial(models, config, leaf_BCHW, image_BCHW)
        weight = config.adversarial_weight * adaptive_weight(
            forward.hidden_BCHW,
            (gradient_BCHW, adversarial_BCHW),
            models.tokenizer.decoder.conv_out.weight,
            config.adaptive_delta,
        ).clamp(max=config.adaptive_max or math.inf)
        gradient_BCHW = gradient_BCHW + weight * adversarial_BCHW
        scalars |= more | {"adaptive_weight": weight}
        scalars["loss"] = scalars["loss"] + weight * more["generator"]
    torch.autograd.backward([output_BCHW, forward.quantized.loss], [gradient_BCHW.to(output_BCHW.dtype), None])
    return Step(scalars, forward.quantized)


def _reconstruction(
    models: Models, config: TokenizerLossConfig, leaf_BCHW: Tensor, image_BCHW: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    loss = reconstruction_loss(config.reconstruction, leaf_BCHW, image_BCHW)
    scalars = {"reconstruction": loss.detach()}
    if models.perceptual is not None:
        with torch.no_grad():
            real = models.perceptual.features(image_BCHW)
        perceptual = models.perceptual.distance(models.perceptual.features(leaf_BCHW), real).mean()
        scalars["perceptual"] = perceptual.detach()
        loss = loss + config.perceptual_weight * perceptual
    (gradient_BCHW,) = torch.autograd.grad(loss, leaf_BCHW)
    return scalars | {"loss": loss.detach()}, gradient_BCHW


def _adversarial(
    models: Models, config: TokenizerLossConfig, leaf_BCHW: Tensor, image_BCHW: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Adds the discriminator's gradients; returns the scalars and the adversarial gradient at the reconstruction."""
    assert models.discriminator is not None
    logit_fake = models.discriminator(leaf_BCHW)
    generator = generator_loss(config.adversarial, logit_fake)
    # Keep the graph: the discriminator's own loss uses the same pass over the reconstruction.
    (gradient_BCHW,) = torch.autograd.grad(generator, leaf_BCHW, retain_graph=True)
    loss = discriminator_loss(config.adversarial, models.discriminator(image_BCHW), logit_fake)
    torch.autograd.backward(loss, inputs=list(models.discriminator.parameters()))
    return {"generator": generator.detach(), "discriminator": loss.detach()}, gradient_BCHW

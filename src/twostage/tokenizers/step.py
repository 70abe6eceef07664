"""Gradients of one training step from one forward pass.

The reconstruction is detached and becomes a leaf of the graph. The reconstruction loss and the adversarial loss are
each differentiated once, down to this leaf. The adaptive weight needs only these two gradients and the input of the
last layer. Their weighted sum then goes back through the tokenizer once. The discriminator learns from the same
reconstruction. Losses and gradients equal those of the plain formulation, see benchmarks/vqgan_step.py.
"""

# B batch, C channels, H height, W width

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from twostage.config.schema import DiscriminatorConfig, TokenizerConfig, TokenizerLossConfig
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.losses import adaptive_weight, discriminator_loss, generator_loss, reconstruction_loss
from twostage.tokenizers.model import Forward, Tokenizer
from twostage.tokenizers.quantizer import Quantized
from twostage.tokenizers.stabilisers import LeCam, Randomness, augmented


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
    lecam: LeCam | None = None
    # How a step runs the two that learn, where several processes do; their parameters are the same.
    replicas: Mapping[str, nn.Module] = field(default_factory=dict)

    @property
    def run_tokenizer(self) -> Callable[[Tensor], Forward]:
        """What a step calls for the pass of which it goes back."""
        return self.replicas.get("tokenizer", self.tokenizer)

    @property
    def run_discriminator(self) -> Callable[[Tensor], Tensor]:
        """As `run_tokenizer`."""
        assert self.discriminator is not None
        return self.replicas.get("discriminator", self.discriminator)


class Phase(Enum):
    """Who learns from the discriminator's logits: nobody, the discriminator alone, or the tokenizer as well."""

    RECONSTRUCTION, AHEAD, ADVERSARIAL = range(3)


class Step(NamedTuple):
    """Scalars of a step, and the inputs of the codebook's update."""

    scalars: dict[str, Tensor]
    quantized: Quantized


def accumulate_gradients(
    models: Models, settings: TokenizerConfig, image_BCHW: Tensor, phase: Phase, random: Randomness
) -> Step:
    """Adds the gradients of the tokenizer and, in its phases, of the discriminator to their parameters.

    `random`: for what the discriminator's images are augmented by.
    Source: Esser et al. 2021, Eq. 4 to 7.
    """
    config = settings.loss
    forward = models.run_tokenizer(image_BCHW)
    output_BCHW = forward.output_BCHW
    leaf_BCHW = output_BCHW.detach().requires_grad_()
    scalars, gradient_BCHW = _reconstruction(models, config, leaf_BCHW, image_BCHW)
    scalars["quantizer"] = forward.quantized.loss.detach()
    scalars["loss"] = scalars["loss"] + scalars["quantizer"]
    if phase is not Phase.RECONSTRUCTION:
        is_adversarial = phase is Phase.ADVERSARIAL
        more, adversarial_BCHW = _adversarial(models, settings, leaf_BCHW, image_BCHW, is_adversarial, random)
        scalars |= more
        if adversarial_BCHW is not None:
            last_layer = models.tokenizer.decoder.conv_out.weight
            weight = _weight(config, forward.hidden_BCHW, (gradient_BCHW, adversarial_BCHW), last_layer)
            gradient_BCHW = gradient_BCHW + weight * adversarial_BCHW
            scalars |= {"adaptive_weight": weight}
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


def _weight(
    config: TokenizerLossConfig, hidden_BCHW: Tensor, gradients_BCHW: tuple[Tensor, Tensor], last_layer: Tensor
) -> Tensor:
    """lambda: Eq. 7 within its bound, or fixed."""
    if not config.adaptive:
        return torch.full((), config.adversarial_weight, device=hidden_BCHW.device)
    adaptive = adaptive_weight(hidden_BCHW, gradients_BCHW, last_layer, config.adaptive_delta)
    return config.adversarial_weight * adaptive.clamp(max=config.adaptive_max or math.inf)


def _adversarial(
    models: Models, settings: TokenizerConfig, leaf_BCHW: Tensor, image_BCHW: Tensor, is_adversarial: bool,
    random: Randomness,
) -> tuple[dict[str, Tensor], Tensor | None]:  # fmt: skip
    """Adds the discriminator's gradients; returns the scalars and the adversarial gradient at the reconstruction."""
    critic, config = settings.discriminator, settings.loss
    assert models.discriminator is not None
    assert critic is not None
    logit_fake = models.run_discriminator(_seen(critic, leaf_BCHW if is_adversarial else leaf_BCHW.detach(), random))
    scalars, gradient_BCHW = {}, None
    if is_adversarial:
        generator = generator_loss(config.adversarial, logit_fake)
        # Keep the graph: the discriminator's own loss uses the same pass over the reconstruction.
        (gradient_BCHW,) = torch.autograd.grad(generator, leaf_BCHW, retain_graph=True)
        scalars["generator"] = generator.detach()
    logit_real = models.run_discriminator(_seen(critic, image_BCHW, random))
    loss = discriminator_loss(config.adversarial, logit_real, logit_fake)
    scalars |= {"discriminator": loss.detach(), "discriminator_accuracy": _accuracy(logit_real, logit_fake)}
    if models.lecam is not None:
        loss = loss + critic.lecam * models.lecam(logit_real, logit_fake)
    torch.autograd.backward(loss, inputs=list(models.discriminator.parameters()))
    return scalars, gradient_BCHW


def _seen(critic: DiscriminatorConfig, image_BCHW: Tensor, random: Randomness) -> Tensor:
    return augmented(image_BCHW, random) if critic.augment else image_BCHW


def _accuracy(logit_real: Tensor, logit_fake: Tensor) -> Tensor:
    """Share of the patches, real and reconstructed alike, that the discriminator knows; chance is 0.5."""
    return ((logit_real > 0).float().mean() + (logit_fake <= 0).float().mean()) / 2

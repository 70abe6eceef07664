"""Time of one VQGAN training step: the plain formulation against ours, at equal losses and gradients.

Plain, as the released code has it: one forward pass for the update of the tokenizer and another for that of the
discriminator; `autograd.grad` from each loss to the last weight for the adaptive weight, then a third backward pass;
contiguous memory. `released` adds what the released loss computes in vain. Ours: `twostage.tokenizers.step`, upsampling
without the doubled picture and a fused Adam, as training takes them. All take their Adam steps with learning rate 0, so
that every repeat sees the same weights. Steps alternate A B C A B C; medians of CPU and of wall time are compared.

    OMP_NUM_THREADS=2 python benchmarks/vqgan_step.py --weights artifacts/laptop/weights/vgg16
"""

# B batch, C channels, H height, W width

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from twostage.config.schema import (
    DiscriminatorConfig,
    LoopConfig,
    QuantizerConfig,
    TokenizerConfig,
    TokenizerLossConfig,
)
from twostage.runtime import training
from twostage.runtime.artifacts import write_json
from twostage.tokenizers.codebook import CodebookKeeper
from twostage.tokenizers.discriminator import PatchDiscriminator
from twostage.tokenizers.losses import discriminator_loss, generator_loss, reconstruction_loss
from twostage.tokenizers.model import Tokenizer
from twostage.tokenizers.networks import Upsample
from twostage.tokenizers.stabilisers import Randomness
from twostage.tokenizers.step import Models, Phase, accumulate_gradients
from twostage.weights.lpips import PerceptualDistance

TOLERANCE = 1e-4
# A tensor whose gradient is far smaller than its network's largest is zero up to rounding (biases of keys, say).
NEGLIGIBLE = 1e-3


def config(channels: int, batch: int) -> TokenizerConfig:
    """The released f = 16 model of 256x256 images, with the discriminator at work from the start."""
    return TokenizerConfig(
        name="benchmark",
        map="image",
        layout="released",
        num_downsamplings=4,
        channels=channels,
        channel_multipliers=[1, 1, 2, 2, 4],
        num_res_blocks=2,
        attention_levels=[4],
        z_channels=256,
        dropout=0.0,
        quantizer=QuantizerConfig(
            num_codes=1024,
            code_dim=256,
            beta=0.25,
            beta_on="commitment",
            learned_by="gradient",
            ema_decay=0.99,
            init="data",
            revive_after=None,
        ),
        loss=TokenizerLossConfig(
            reconstruction="l1",
            perceptual="vgg",
            early_perceptual="none",
            early_perceptual_steps=0,
            perceptual_weight=1.0,
            adversarial="hinge",
            adversarial_weight=1.0,
            adversarial_start=0,
            adaptive=True,
            adaptive_delta=1e-6,
            adaptive_max=None,
        ),
        discriminator=DiscriminatorConfig(
            channels=64, layers=3, learning_rate=1e-3, betas=[0.5, 0.9], steps_ahead=0, augment=False, lecam=0.0
        ),
        adversarial_learning_rate=None,
        decay_from=None,
        warmup_steps=0,
        learning_rate=0.0,
        betas=[0.5, 0.9],
        loop=LoopConfig(steps=1, batch_size=batch, evaluate_every=1, checkpoint_every=1, seed=0, precision="float32"),
    )


def released_step(models: Models, settings: TokenizerConfig, image_BCHW: Tensor) -> dict[str, Tensor]:
    """As `plain_step`; the released loss also computes LPIPS in the discriminator's pass, where nothing needs it."""
    return plain_step(models, settings, image_BCHW, second_perceptual=True)


def plain_step(
    models: Models, settings: TokenizerConfig, image_BCHW: Tensor, second_perceptual: bool = False
) -> dict[str, Tensor]:
    """Gradients of both networks by the formulas as they stand. Source: Esser et al. 2021, Eq. 4 to 7."""
    loss_config = settings.loss
    assert models.discriminator is not None
    assert models.perceptual is not None
    models.discriminator.requires_grad_(False)
    output_BCHW, _, quantized = models.tokenizer(image_BCHW)
    pixel = reconstruction_loss(loss_config.reconstruction, output_BCHW, image_BCHW)
    features = models.perceptual.features(output_BCHW), models.perceptual.features(image_BCHW)
    perceptual = models.perceptual.distance(*features).mean()
    reconstruction = pixel + loss_config.perceptual_weight * perceptual
    generator = generator_loss(loss_config.adversarial, models.discriminator(output_BCHW))
    last = models.tokenizer.decoder.conv_out.weight
    norm_reconstruction = torch.autograd.grad(reconstruction, last, retain_graph=True)[0].norm()
    norm_generator = torch.autograd.grad(generator, last, retain_graph=True)[0].norm()
    weight = loss_config.adversarial_weight * norm_reconstruction / (norm_generator + loss_config.adaptive_delta)
    loss = reconstruction + weight * generator + quantized.loss
    loss.backward()

    models.discriminator.requires_grad_(True)
    with torch.no_grad():
        fake_BCHW = models.tokenizer(image_BCHW).output_BCHW
        if second_perceptual:
            models.perceptual.distance(models.perceptual.features(fake_BCHW), models.perceptual.features(image_BCHW))
    logits = models.discriminator(image_BCHW), models.discriminator(fake_BCHW)
    critic = discriminator_loss(loss_config.adversarial, *logits)
    critic.backward()
    return {"loss": loss, "perceptual": perceptual, "adaptive_weight": weight, "discriminator": critic}


def efficient_step(models: Models, settings: TokenizerConfig, image_BCHW: Tensor) -> dict[str, Tensor]:
    """The step that training takes."""
    return accumulate_gradients(models, settings, image_BCHW, Phase.ADVERSARIAL, Randomness(torch.Generator())).scalars


Formulation = Callable[[Models, TokenizerConfig, Tensor], dict[str, Tensor]]


class Contestant:
    """One formulation with networks, optimisers and image in its own memory layout."""

    def __init__(
        self, step: Formulation, models: Models, settings: TokenizerConfig, image_BCHW: Tensor, fused: bool = False
    ) -> None:
        self.step, self.models, self.settings, self.image_BCHW = step, models, settings, image_BCHW
        self.cpu_seconds: list[float] = []
        self.wall_seconds: list[float] = []
        self.scalars: dict[str, Tensor] = {}
        self.networks = {"tokenizer": models.tokenizer, "discriminator": models.discriminator}
        beta1, beta2 = settings.betas
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=0.0, betas=(beta1, beta2), fused=fused)
            for network in self.networks.values()
        ]

    def run(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        cpu, wall = training.training_clock(), time.perf_counter()
        self.scalars = self.step(self.models, self.settings, self.image_BCHW)
        for optimizer in self.optimizers:
            optimizer.step()
        self.cpu_seconds.append(training.training_clock() - cpu)
        self.wall_seconds.append(time.perf_counter() - wall)

    def gradients(self, network: str) -> dict[str, Tensor]:
        return {name: it.grad for name, it in self.networks[network].named_parameters() if it.grad is not None}


class ContiguousTokenizer(Tokenizer):
    """The tokenizer in torch's default layout."""

    def features(self, image_BCHW: Tensor) -> Tensor:
        return self.project_in(self.encoder(image_BCHW))


class LargeUpsample(Upsample):
    """The convolution of the doubled picture as it stands."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(torch.nn.functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"))


def contestants(arguments: argparse.Namespace, precision: torch.dtype) -> dict[str, Contestant]:
    """Plain, released and efficient, with equal weights and the same image."""
    settings, device = config(arguments.channels, arguments.batch), training.device()
    training.seed_everything(0)
    tokenizer = Tokenizer(settings, "colour", 3).to(device)
    assert settings.discriminator is not None
    discriminator = PatchDiscriminator(3, settings.discriminator.channels, settings.discriminator.layers)
    discriminator = discriminator.to(memory_format=torch.channels_last).to(device)
    perceptual = PerceptualDistance.load(arguments.weights).to(device)
    side = arguments.size
    coarse = torch.rand(arguments.batch, 3, side // 8, side // 8, device=device) * 2 - 1
    image_BCHW = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(-1, 1)
    image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        vector_ND = tokenizer.features(image_BCHW).permute(0, 2, 3, 1).flatten(0, 2)
        generator = torch.Generator().manual_seed(0)
        CodebookKeeper(settings.quantizer).to(device).start(tokenizer.quantizer, vector_ND, generator)
        # Away from the data, so that no two codes are equally near and rounding decides nothing.
        tokenizer.quantizer.codebook_KD += 0.1 * vector_ND.std() * torch.randn_like(tokenizer.quantizer.codebook_KD)
    image_BCHW = image_BCHW.to(precision)
    for network in (tokenizer, discriminator, perceptual):
        network.to(dtype=precision)
    efficient = Models(tokenizer, discriminator, perceptual.to(memory_format=torch.channels_last))
    # copy, rather than a second construction: the weights must be equal.
    plain_tokenizer = copy.deepcopy(tokenizer).to(memory_format=torch.contiguous_format)
    plain_tokenizer.__class__ = ContiguousTokenizer
    for module in plain_tokenizer.modules():
        if isinstance(module, Upsample):
            module.__class__ = LargeUpsample
    plain = Models(
        plain_tokenizer,
        copy.deepcopy(discriminator).to(memory_format=torch.contiguous_format),
        copy.deepcopy(perceptual).to(memory_format=torch.contiguous_format),
    )
    return {
        "plain": Contestant(plain_step, plain, settings, image_BCHW.contiguous()),
        "released": Contestant(released_step, plain, settings, image_BCHW.contiguous()),
        "efficient": Contestant(efficient_step, efficient, settings, image_BCHW, fused=True),
    }


@dataclass(frozen=True)
class Difference:
    """Largest relative differences between the two formulations."""

    losses: float
    gradients: float


def difference(plain: Contestant, efficient: Contestant) -> Difference:
    losses = 0.0
    for name, value in plain.scalars.items():
        expected_value, found_value = float(value.detach()), float(efficient.scalars[name])
        losses = max(losses, abs(found_value - expected_value) / abs(expected_value))
    gradients = 0.0
    for network in plain.networks:
        expected, found = plain.gradients(network), efficient.gradients(network)
        assert expected.keys() == found.keys()
        floor = NEGLIGIBLE * max(float(gradient.norm()) for gradient in expected.values())
        for name, gradient in expected.items():
            relative = float((found[name] - gradient).norm()) / max(float(gradient.norm()), floor)
            gradients = max(gradients, relative)
    return Difference(losses, gradients)


def check(arguments: argparse.Namespace) -> Difference:
    """Compares one step of both in float64.

    In float32 the two layouts round differently, and where a ReLU's input is zero up to rounding the gradient takes
    another way: elements differ by 1e-3 then although nothing is wrong.
    """
    ran = contestants(arguments, torch.float64)
    found = Difference(0.0, 0.0)
    ran["efficient"].run()
    for name in ("plain", "released"):
        ran[name].run()
        one = difference(ran[name], ran["efficient"])
        found = Difference(max(found.losses, one.losses), max(found.gradients, one.gradients))
    assert found.losses <= TOLERANCE, f"losses differ by {found.losses:.2e} relative"
    assert found.gradients <= TOLERANCE, f"gradients differ by {found.gradients:.2e} relative"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the images, pixels")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", type=Path, default=Path("artifacts/laptop/weights/vgg16"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/vqgan_step.json"))
    arguments = parser.parse_args()
    found = check(arguments)
    timed = contestants(arguments, torch.float32)
    for _ in range(arguments.repeats + 1):
        for one in timed.values():
            one.run()
    # The first round warms up allocators and convolution plans.
    seconds = {
        f"{name}_{clock}_seconds_per_step": statistics.median(getattr(one, f"{clock}_seconds")[1:])
        for name, one in timed.items()
        for clock in ("cpu", "wall")
    }
    result = {
        "size": arguments.size,
        "channels": arguments.channels,
        "batch": arguments.batch,
        "repeats": arguments.repeats,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        **seconds,
        "ratio": seconds["plain_wall_seconds_per_step"] / seconds["efficient_wall_seconds_per_step"],
        "ratio_cpu": seconds["plain_cpu_seconds_per_step"] / seconds["efficient_cpu_seconds_per_step"],
        "ratio_to_released": seconds["released_wall_seconds_per_step"] / seconds["efficient_wall_seconds_per_step"],
        "largest_relative_difference_of_losses": found.losses,
        "largest_relative_difference_of_gradients": found.gradients,
    }
    write_json(arguments.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

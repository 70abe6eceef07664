"""What keeps the discriminator of few images stable: augmentation of all that it sees, and a regularizer."""

# B batch, C channels, H height, W width

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from twostage.runtime import processes

# Zhao et al. 2020, Sec. 4.1: shares of the side, the largest shift and the side of the square that is cut out.
SHIFT, CUT = 1 / 8, 1 / 2


@dataclass(frozen=True)
class Randomness:
    """Random numbers for the images of a step: drawn for its whole batch, of which some rows are wanted.

    `generator`: of the CPU. `rows`: None for a batch that is whole.
    """

    generator: torch.Generator
    batch_size: int = 0
    rows: slice | None = None

    def uniform(self, image_BCHW: Tensor) -> Tensor:
        """A number in [0, 1) for each image, [B, 1, 1, 1]."""
        drawn_B111 = torch.rand(self._number(image_BCHW), 1, 1, 1, generator=self.generator)
        return self._own(drawn_B111).to(image_BCHW)

    def integers(self, low: int, high: int, image_BCHW: Tensor) -> Tensor:
        """An integer from `low` to `high` - 1 for each image, int64 [B]."""
        drawn_B = torch.randint(low, high, (self._number(image_BCHW),), generator=self.generator)
        return self._own(drawn_B).to(image_BCHW.device)

    def _number(self, image_BCHW: Tensor) -> int:
        return len(image_BCHW) if self.rows is None else self.batch_size

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn if self.rows is None else drawn[self.rows]


def augmented(image_BCHW: Tensor, random: Randomness) -> Tensor:
    """Images in [-1, 1] with random colours, shifted and with a square cut out, each by draws of its own.

    Differentiable, so that the tokenizer learns from what the discriminator sees.
    Source: DiffAugment with its three kinds, colour, translation and cutout (Zhao et al. 2020, Sec. 4.1).
    """
    return _cut(_shifted(_recoloured(image_BCHW, random), random), random)


def _recoloured(image_BCHW: Tensor, random: Randomness) -> Tensor:
    brightness_B111, saturation_B111, contrast_B111 = (random.uniform(image_BCHW) for _ in range(3))
    image_BCHW = image_BCHW + (brightness_B111 - 0.5)
    grey_B1HW = image_BCHW.mean(1, keepdim=True)
    image_BCHW = grey_B1HW + (image_BCHW - grey_B1HW) * (2 * saturation_B111)
    mean_B111 = image_BCHW.mean((1, 2, 3), keepdim=True)
    return mean_B111 + (image_BCHW - mean_B111) * (contrast_B111 + 0.5)


def _shifted(image_BCHW: Tensor, random: Randomness) -> Tensor:
    """Each image up to an eighth of its sides away from where it was; zeros come in from outside."""
    for dim in (2, 3):
        side = image_BCHW.shape[dim]
        most = round(side * SHIFT)
        shift_B = random.integers(-most, most + 1, image_BCHW)
        source_BL = torch.arange(side, device=image_BCHW.device) - shift_B[:, None]
        shape = [len(image_BCHW), 1, 1, 1]
        shape[dim] = side
        inside = ((source_BL >= 0) & (source_BL < side)).view(shape)
        index = source_BL.clamp(0, side - 1).view(shape).expand_as(image_BCHW)
        image_BCHW = image_BCHW.gather(dim, index) * inside
    return image_BCHW


def _cut(image_BCHW: Tensor, random: Randomness) -> Tensor:
    """Zeros in a square of half the side around a random pixel."""
    inside_BHW = torch.ones(len(image_BCHW), 1, 1, dtype=torch.bool, device=image_BCHW.device)
    for dim in (2, 3):
        side = image_BCHW.shape[dim]
        length = round(side * CUT)
        centre_B = random.integers(0, side, image_BCHW)
        from_centre_BL = torch.arange(side, device=image_BCHW.device) - centre_B[:, None] + length // 2
        within_BL = (from_centre_BL >= 0) & (from_centre_BL < length)
        inside_BHW = inside_BHW & (within_BL[:, :, None] if dim == 2 else within_BL[:, None, :])
    return image_BCHW * ~inside_BHW[:, None]


class LeCam(nn.Module):
    """Holds the logits of real images near the mean of the others', and the other way round.

    Source: Tseng et al. 2021, Eq. 4; the means move by `DECAY` a step.
    """

    DECAY = 0.99

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_real", torch.zeros(()))
        self.register_buffer("mean_fake", torch.zeros(()))

    def forward(self, logit_real: Tensor, logit_fake: Tensor) -> Tensor:
        """The regularizer, a scalar, after the means have moved."""
        for name, logit in (("mean_real", logit_real), ("mean_fake", logit_fake)):
            mean = processes.mean(logit.detach().mean().to(torch.float32))
            self.get_buffer(name).lerp_(mean, 1 - self.DECAY)
        real, fake = self.get_buffer("mean_real"), self.get_buffer("mean_fake")
        return (logit_real - fake).square().mean() + (logit_fake - real).square().mean()

"""What keeps the discriminator of few images stable: augmentation of all that it sees, and a regularizer."""

# B batch, C channels, H height, W width

import torch
from torch import Tensor, nn

# Zhao et al. 2020, Sec. 4.1: shares of the side, the largest shift and the side of the square that is cut out.
SHIFT, CUT = 1 / 8, 1 / 2


def augmented(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Images in [-1, 1] with random colours, shifted and with a square cut out, each by draws of its own.

    Differentiable, so that the tokenizer learns from what the discriminator sees. `generator`: of the CPU.
    Source: DiffAugment with its three kinds, colour, translation and cutout (Zhao et al. 2020, Sec. 4.1).
    """
    return _cut(_shifted(_recoloured(image_BCHW, generator), generator), generator)


def _uniform(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """A number in [0, 1) for each image, [B, 1, 1, 1]."""
    return torch.rand(len(image_BCHW), 1, 1, 1, generator=generator).to(image_BCHW)


def _recoloured(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    brightness_B111, saturation_B111, contrast_B111 = (_uniform(image_BCHW, generator) for _ in range(3))
    image_BCHW = image_BCHW + (brightness_B111 - 0.5)
    grey_B1HW = image_BCHW.mean(1, keepdim=True)
    image_BCHW = grey_B1HW + (image_BCHW - grey_B1HW) * (2 * saturation_B111)
    mean_B111 = image_BCHW.mean((1, 2, 3), keepdim=True)
    return mean_B111 + (image_BCHW - mean_B111) * (contrast_B111 + 0.5)


def _shifted(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image up to an eighth of its sides away from where it was; zeros come in from outside."""
    for dim in (2, 3):
        side = image_BCHW.shape[dim]
        most = round(side * SHIFT)
        shift_B = torch.randint(-most, most + 1, (len(image_BCHW),), generator=generator).to(image_BCHW.device)
        source_BL = torch.arange(side, device=image_BCHW.device) - shift_B[:, None]
        shape = [len(image_BCHW), 1, 1, 1]
        shape[dim] = side
        inside = ((source_BL >= 0) & (source_BL < side)).view(shape)
        index = source_BL.clamp(0, side - 1).view(shape).expand_as(image_BCHW)
        image_BCHW = image_BCHW.gather(dim, index) * inside
    return image_BCHW


def _cut(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Zeros in a square of half the side around a random pixel."""
    inside_BHW = torch.ones(len(image_BCHW), 1, 1, dtype=torch.bool, device=image_BCHW.device)
    for dim in (2, 3):
        side = image_BCHW.shape[dim]
        length = round(side * CUT)
        centre_B = torch.randint(0, side, (len(image_BCHW),), generator=generator).to(image_BCHW.device)
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
            self.get_buffer(name).lerp_(logit.detach().mean().to(torch.float32), 1 - self.DECAY)
        real, fake = self.get_buffer("mean_real"), self.get_buffer("mean_fake")
        return (logit_real - fake).square().mean() + (logit_fake - real).square().mean()

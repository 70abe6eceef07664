"""The patch-based discriminator. Sources: Isola et al. 2017, Sec. 3.2.2 and App. 6.1; Esser et al. 2021, Eq. 5."""

# B batch, C channels, H height, W width

import torch
from torch import Tensor, nn

from twostage.runtime import launch, processes


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the images of all processes. torch's own (`SyncBatchNorm`) refuses tensors of CPUs."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in torch
        """[B, C, H, W]. Every process must have as many elements."""
        if not self.training or launch.count() == 1:
            return super().forward(input)
        x_BCHW = input.float()
        # In two steps: a mean of squares less a squared mean would lose digits.
        mean_C = processes.mean_with_gradient(x_BCHW.mean((0, 2, 3)))
        centred_BCHW = x_BCHW - mean_C[:, None, None]
        variance_C = processes.mean_with_gradient(centred_BCHW.square().mean((0, 2, 3)))
        self._remember(mean_C.detach(), variance_C.detach(), launch.count() * x_BCHW.numel() // len(mean_C))
        scale_C = self.weight * (variance_C + self.eps).rsqrt()
        return (centred_BCHW * scale_C[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, variance_C: Tensor, num_values: int) -> None:
        """Moves the running statistics, as torch does, by the unbiased variance."""
        self.get_buffer("num_batches_tracked").add_(1)
        self.get_buffer("running_mean").lerp_(mean_C, self.momentum or 0.0)
        self.get_buffer("running_var").lerp_(variance_C * (num_values / (num_values - 1)), self.momentum or 0.0)


class PatchDiscriminator(nn.Sequential):
    """One logit per overlapping patch: 4x4 convolutions (`num_layers` with stride 2), batch norm, leaky ReLU.

    Widths double from `channels` up to eight times. Indices of the layers are those of the released `main`.
    """

    def __init__(self, num_channels: int, channels: int, num_layers: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(num_channels, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = channels
        for layer in range(1, num_layers + 1):
            wider = channels * min(2**layer, 8)
            # No bias: the batch norm has one.
            convolution = nn.Conv2d(width, wider, 4, 2 if layer < num_layers else 1, 1, bias=False)
            layers += [convolution, BatchNorm(wider), nn.LeakyReLU(0.2)]
            width = wider
        super().__init__(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        self.apply(_initialise)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits [B, 1, h, w]; large means real."""
        return super().forward(image_BCHW)


def _initialise(module: nn.Module) -> None:
    # Isola et al. 2017, App. 6.2: weights from N(0, 0.02).
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def smallest_side(num_layers: int) -> int:
    """Side in pixels of the smallest square image that gives at least one logit."""
    side = 1
    for stride in [1, 1] + [2] * num_layers:
        side = (side - 1) * stride + 2
    return side

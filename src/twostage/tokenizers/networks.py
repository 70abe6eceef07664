"""Encoder and decoder of the VQGAN: one implementation for the paper's layout and the released one.

Layout `paper` is exactly Table 6 (Esser et al. 2021, supplement): m times {residual blocks, downsample}, then
residual, non-local, residual. The output convolution goes directly to n_z, so there are no 1x1 projections around the
codebook. Layout `released` has m + 1 levels, attention after every block of chosen levels, one more block per level in
the decoder, and 1x1 projections between z_channels and n_z (these are in `model`).
"""

# B batch, C channels, H height, W width, T = H * W

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from twostage.config.schema import TokenizerConfig
from twostage.errors import TwostageError


@dataclass(frozen=True)
class LevelPlan:
    """One resolution: the width of its residual blocks, and the layers after them."""

    width: int
    num_blocks: int
    attention: bool
    resample: bool


def encoder_plan(config: TokenizerConfig) -> list[LevelPlan]:
    """Levels of the encoder, finest first. Raises TwostageError if the config does not describe its layout."""
    widths = _widths(config)
    match config.layout:
        case "paper":
            return [LevelPlan(width, config.num_res_blocks, attention=False, resample=True) for width in widths]
        case _:
            return [
                LevelPlan(width, config.num_res_blocks, level in config.attention_levels, level < len(widths) - 1)
                for level, width in enumerate(widths)
            ]


def decoder_plan(config: TokenizerConfig) -> list[LevelPlan]:
    """Levels of the decoder, coarsest first. Raises TwostageError if the config does not describe its layout."""
    widths = _widths(config)
    match config.layout:
        case "paper":
            # The residual blocks of a level mirror the encoder's: they lead back to the input width of that level.
            finer = [config.channels, *widths[:-1]]
            return [LevelPlan(width, config.num_res_blocks, False, True) for width in reversed(finer)]
        case _:
            return [
                LevelPlan(widths[level], config.num_res_blocks + 1, level in config.attention_levels, level > 0)
                for level in reversed(range(len(widths)))
            ]


def _widths(config: TokenizerConfig) -> list[int]:
    match config.layout:
        case "paper":
            num_levels = config.num_downsamplings
            if config.attention_levels:
                raise TwostageError("layout=paper has one non-local block; set attention_levels=[] or layout=released")
        case "released":
            num_levels = config.num_downsamplings + 1
        case other:
            raise TwostageError(f"layout {other} is unknown; expected paper or released")
    if len(config.channel_multipliers) != num_levels:
        raise TwostageError(
            f"layout={config.layout} with num_downsamplings={config.num_downsamplings} needs {num_levels} "
            f"channel_multipliers, got {config.channel_multipliers}"
        )
    return [config.channels * multiplier for multiplier in config.channel_multipliers]


def _norm(num_channels: int) -> nn.GroupNorm:
    # 32 groups and eps as released. Tiny models whose width is not divisible by 32 have fewer groups.
    return nn.GroupNorm(math.gcd(32, num_channels), num_channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """GroupNorm, Swish, 3x3 convolution, twice; a 1x1 convolution on the skip path if the width changes."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = _norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm2 = _norm(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of `width` channels at the same resolution."""
        hidden_BCHW = self.conv1(functional.silu(self.norm1(x_BCHW)))
        hidden_BCHW = self.conv2(self.dropout(functional.silu(self.norm2(hidden_BCHW))))
        return self.shortcut(x_BCHW) + hidden_BCHW


class NonLocalBlock(nn.Module):
    """Attention of every position to every position, one head, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(width, width, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of the same shape."""
        normed_BCHW = self.norm(x_BCHW)
        query, key, value = (_to_sequence(layer(normed_BCHW)) for layer in (self.query, self.key, self.value))
        mixed_B1TC = functional.scaled_dot_product_attention(query, key, value)
        mixed_BCHW = mixed_B1TC.squeeze(1).transpose(1, 2).reshape(x_BCHW.shape)
        return x_BCHW + self.project(mixed_BCHW.contiguous(memory_format=torch.channels_last))


def _to_sequence(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.flatten(2).transpose(1, 2).unsqueeze(1)


class Downsample(nn.Module):
    """3x3 convolution with stride 2, padded only on the right and below, as released."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Half the height and width."""
        return self.conv(functional.pad(x_BCHW, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour upsampling, then a 3x3 convolution.

    In each 3x3 window of the upsampled image two rows and two columns are equal. So the outputs with the same parity of
    row and column are a 2x2 convolution of the original image. Four of these cost 4/9 of the large convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Twice the height and width."""
        parities = [(row, column) for row in (0, 1) for column in (0, 1)]
        outputs = [self._at_parity(x_BCHW, row, column) for row, column in parities]
        output_BHrWcC = torch.stack(outputs).unflatten(0, (2, 2)).permute(2, 4, 0, 5, 1, 3)
        return output_BHrWcC.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def _at_parity(self, x_BCHW: Tensor, row: int, column: int) -> Tensor:
        """The outputs at every second row and column, [B, C, H, W]."""
        weight = _merge_taps(_merge_taps(self.conv.weight, 2, row), 3, column)
        padded_BCHW = functional.pad(x_BCHW, (1 - column, column, 1 - row, row))
        return functional.conv2d(padded_BCHW, weight, self.conv.bias)


def _merge_taps(weight: Tensor, axis: int, parity: int) -> Tensor:
    """Two taps from three: at even outputs the last two see the same input, at odd outputs the first two."""
    first, middle, last = weight.unbind(axis)
    merged = [first, middle + last] if parity == 0 else [first + middle, last]
    return torch.stack(merged, axis).contiguous(memory_format=torch.channels_last)


class Level(nn.Module):
    """The blocks of one resolution; attention, if any, follows each block."""

    def __init__(self, width_in: int, plan: LevelPlan, resample: type[Downsample] | type[Upsample], dropout: float):
        super().__init__()
        widths = [width_in] + [plan.width] * plan.num_blocks
        self.blocks = nn.ModuleList(ResidualBlock(a, b, dropout) for a, b in itertools.pairwise(widths))
        self.attentions = nn.ModuleList(
            NonLocalBlock(plan.width) if plan.attention else nn.Identity() for _ in range(plan.num_blocks)
        )
        self.resample = resample(plan.width) if plan.resample else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of the plan's width, resampled if the plan says so."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x_BCHW = attention(block(x_BCHW))
        return self.resample(x_BCHW)


def _levels(
    width_in: int, plans: Sequence[LevelPlan], resample: type[Downsample] | type[Upsample], dropout: float
) -> nn.Sequential:
    widths = [width_in] + [plan.width for plan in plans[:-1]]
    return nn.Sequential(*(Level(width, plan, resample, dropout) for width, plan in zip(widths, plans, strict=True)))


def _middle(width: int, config: TokenizerConfig) -> nn.Sequential:
    """What lets a code see the whole image. Without `middle` only group norms do, and attention in levels."""
    if not config.middle:
        return nn.Sequential()
    return nn.Sequential(
        ResidualBlock(width, width, config.dropout), NonLocalBlock(width), ResidualBlock(width, width, config.dropout)
    )


class Encoder(nn.Module):
    """Image to features at 1/f of the resolution. Source: Esser et al. 2021, Table 6."""

    def __init__(self, config: TokenizerConfig, num_channels: int, num_features: int) -> None:
        super().__init__()
        plans = encoder_plan(config)
        self.conv_in = nn.Conv2d(num_channels, config.channels, 3, padding=1)
        self.levels = _levels(config.channels, plans, Downsample, config.dropout)
        self.middle = _middle(plans[-1].width, config)
        self.norm_out = _norm(plans[-1].width)
        self.conv_out = nn.Conv2d(plans[-1].width, num_features, 3, padding=1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """[B, num_features, H / f, W / f]."""
        hidden_BCHW = self.middle(self.levels(self.conv_in(image_BCHW)))
        return self.conv_out(functional.silu(self.norm_out(hidden_BCHW)))


class Decoder(nn.Module):
    """Features at 1/f of the resolution to an image. Source: Esser et al. 2021, Table 6."""

    def __init__(self, config: TokenizerConfig, num_channels: int, num_features: int) -> None:
        super().__init__()
        plans = decoder_plan(config)
        widest = _widths(config)[-1]
        self.conv_in = nn.Conv2d(num_features, widest, 3, padding=1)
        self.middle = _middle(widest, config)
        self.levels = _levels(widest, plans, Upsample, config.dropout)
        self.norm_out = _norm(plans[-1].width)
        self.conv_out = nn.Conv2d(plans[-1].width, num_channels, 3, padding=1)

    def trunk(self, features_BCHW: Tensor) -> Tensor:
        """The input of the last layer `conv_out`, whose gradients determine the adaptive weight (Eq. 7)."""
        hidden_BCHW = self.levels(self.middle(self.conv_in(features_BCHW)))
        return functional.silu(self.norm_out(hidden_BCHW))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """[B, num_channels, f H, f W]."""
        return self.conv_out(self.trunk(features_BCHW))

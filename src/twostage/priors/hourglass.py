"""The hourglass transformer on grids (McKinney & Willcocks 2022, Sec. 3.2, after Nawrot et al. 2021).

Layers on all tokens, layers on groups of S tokens merged into one, layers on all tokens again. Nothing is causal.
Tokens are in the order of `Grouping`, in which tokens of a group are neighbours, so that resampling is a view.
"""

# B batch, T tokens, S tokens of a group, G = T / S groups, D width, H heads, E width of a head, F = E / 2

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from twostage.config.schema import HourglassConfig
from twostage.errors import TwostageError
from twostage.priors.linear import Linear
from twostage.priors.rotary import angles, rotate, rotation


@dataclass(frozen=True)
class Grouping:
    """Which S tokens of a grid are merged into one.

    `order_T`: the row-major positions, group by group. `shortened`: rows and columns of the grid of groups. The other
    two are for the released code, which attends to other tokens than it resamples. `attended_T`: the places in
    `order_T` of the row-major tokens, of which each S in turn belong to a group. `attending_T`: the group of each token
    of `order_T`.
    """

    size: int
    order_T: torch.Tensor
    shortened: tuple[int, int]
    attended_T: torch.Tensor | None = None
    attending_T: torch.Tensor | None = None

    @classmethod
    def of(cls, kind: str, grid: tuple[int, int], size: int) -> "Grouping":
        """`kind` is `patches` (squares of sqrt(S) x sqrt(S): paper), `sequence` (S neighbours of a row: Nawrot et al.
        2021) or `released`: patches are resampled, but S neighbours in row-major order are attended to.

        Raises TwostageError for an unknown kind, a size that is not a square number, or a grid that is not divisible.
        """
        rows, columns = grid
        side = math.isqrt(max(size, 0))
        if side < 1 or side**2 != size:
            raise TwostageError(f"the hourglass's shorten_factor={size} must be a square number; set 4, 9 or 16")
        if kind not in ("patches", "sequence", "released"):
            raise TwostageError(f"the hourglass's resampling={kind} is unknown; choose patches, sequence or released")
        height, width = (1, size) if kind == "sequence" else (side, side)
        if rows % height or columns % width:
            raise TwostageError(
                f"a grid of {rows}x{columns} tokens is not divisible into groups of {height}x{width}; set "
                f"priors.sundae.shorten_factor or priors.absorbing.hourglass.shorten_factor (now {size}), or data.size"
            )
        shortened = (rows // height, columns // width)
        position_RW = torch.arange(rows * columns).view(grid)
        order_T = position_RW.view(shortened[0], height, shortened[1], width).transpose(1, 2).flatten()
        if kind == "released":
            return cls(size, order_T, shortened, attended_T=order_T.argsort(), attending_T=order_T // size)
        return cls(size, order_T, shortened)


class SelfAttention(nn.Module):
    """Attention of every token to all tokens, with rotary positions."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        inner = config.num_heads * config.head_width
        self.query_key_value = Linear(config.width, 3 * inner, bias=False)
        self.out = Linear(inner, config.width)

    def forward(self, x_BTD: torch.Tensor, rotation_THF2: torch.Tensor) -> torch.Tensor:
        """[B, T, D]."""
        query_key_value_BTNHE = self.query_key_value(x_BTD).unflatten(-1, (3, self.num_heads, -1))
        query_BTHE, key_BTHE = rotate(query_key_value_BTNHE[:, :, :2], rotation_THF2).unbind(2)
        mixed_BHTE = functional.scaled_dot_product_attention(
            query_BTHE.transpose(1, 2),
            key_BTHE.transpose(1, 2),
            query_key_value_BTNHE[:, :, 2].transpose(1, 2),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(mixed_BHTE.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """The residual part of a block that works on each token alone: norm, four times the width, GELU."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.layers = nn.Sequential(
            Linear(config.width, 4 * config.width), nn.GELU(), Linear(4 * config.width, config.width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Residual update of `x_BTD`."""
        return x_BTD + self.dropout(self.layers(self.norm(x_BTD)))


class Block(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.attention = SelfAttention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.perceptron = Perceptron(config)

    def forward(self, x_BTD: torch.Tensor, rotation_THF2: torch.Tensor) -> torch.Tensor:
        """Residual update of `x_BTD`."""
        return self.perceptron(x_BTD + self.dropout(self.attention(self.norm(x_BTD), rotation_THF2)))


class Shorten(nn.Module):
    """Space to depth, a learned projection, then attention of each new token to the tokens of its group (Eq. 4)."""

    def __init__(self, config: HourglassConfig, grouping: Grouping) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        inner = config.num_heads * config.head_width
        self.project = Linear(grouping.size * config.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.query = Linear(config.width, inner, bias=False)
        self.key_value = Linear(config.width, 2 * inner, bias=False)
        self.out = Linear(inner, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.perceptron = Perceptron(config)

    def forward(self, x_BGSD: torch.Tensor, attended_BGSD: torch.Tensor) -> torch.Tensor:
        """[B, G, D] from the tokens of each group. Only the released code attends to other tokens."""
        short_BGD = self.project(x_BGSD.flatten(2))
        query_BGHE = self.query(self.norm(short_BGD)).unflatten(-1, (self.num_heads, -1))
        key_BGSHE, value_BGSHE = self.key_value(attended_BGSD).unflatten(-1, (2, self.num_heads, -1)).unbind(3)
        # Groups are so small that reading dominates: one matrix product per group would cost more.
        score_BGSH = (query_BGHE[:, :, None] * key_BGSHE).sum(-1) * query_BGHE.shape[-1] ** -0.5
        mixed_BGHE = (score_BGSH.softmax(2)[..., None] * value_BGSHE).sum(2)
        return self.perceptron(short_BGD + self.dropout(self.out(mixed_BGHE.flatten(2))))


class Lengthen(nn.Module):
    """The inverse of shortening: adds a learned projection, depth to space, to earlier tokens; then each token attends
    to the one token of its group (Eq. 4).

    Attention to a single token returns its value for any query, so no queries, keys or norms for them are needed.
    """

    def __init__(self, config: HourglassConfig, grouping: Grouping) -> None:
        super().__init__()
        inner = config.num_heads * config.head_width
        self.project = Linear(config.width, grouping.size * config.width)
        self.value = Linear(config.width, inner, bias=False)
        self.out = Linear(inner, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.perceptron = Perceptron(config)

    def forward(
        self, short_BGD: torch.Tensor, before_BTD: torch.Tensor, attending_T: torch.Tensor | None
    ) -> torch.Tensor:
        """[B, T, D]. `attending_T`: the group to whose token each token attends (default: its own)."""
        mixed_BGD = self.out(self.value(short_BGD))
        long_BTD = self.project(short_BGD).view_as(before_BTD) + before_BTD
        if attending_T is None:
            long_BGSD = long_BTD.unflatten(1, (short_BGD.shape[1], -1))
            return self.perceptron((long_BGSD + self.dropout(mixed_BGD)[:, :, None]).flatten(1, 2))
        return self.perceptron(long_BTD + self.dropout(mixed_BGD)[:, attending_T])


class Hourglass(nn.Module):
    """From embeddings to features of the same shape, both in the order of `grouping`."""

    rotation_THF2: torch.Tensor
    short_rotation_GHF2: torch.Tensor
    attended_T: torch.Tensor | None
    attending_T: torch.Tensor | None

    def __init__(self, config: HourglassConfig, grid: tuple[int, int], grouping: Grouping) -> None:
        super().__init__()
        _check(config)
        self.size = grouping.size
        before, within, after = config.depth
        self.before = nn.ModuleList(Block(config) for _ in range(before))
        self.shorten = Shorten(config, grouping)
        self.within = nn.ModuleList(Block(config) for _ in range(within))
        self.lengthen = Lengthen(config, grouping)
        self.after = nn.ModuleList(Block(config) for _ in range(after))
        self.norm = nn.LayerNorm(config.width)
        heads = (config.head_width, config.num_heads)
        angle_THF = angles(config.rotary, grid, *heads, shortened=False)[grouping.order_T]
        short_angle_GHF = angles(config.rotary, grouping.shortened, *heads, shortened=True)
        self.register_buffer("rotation_THF2", rotation(angle_THF), persistent=False)
        self.register_buffer("short_rotation_GHF2", rotation(short_angle_GHF), persistent=False)
        self.register_buffer("attended_T", grouping.attended_T, persistent=False)
        self.register_buffer("attending_T", grouping.attending_T, persistent=False)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Features [B, T, D]."""
        for block in self.before:
            x_BTD = block(x_BTD, self.rotation_THF2)
        attended_BTD = x_BTD if self.attended_T is None else x_BTD[:, self.attended_T]
        groups = (-1, self.size)
        short_BGD = self.shorten(x_BTD.unflatten(1, groups), attended_BTD.unflatten(1, groups))
        for block in self.within:
            short_BGD = block(short_BGD, self.short_rotation_GHF2)
        x_BTD = self.lengthen(short_BGD, x_BTD, self.attending_T)
        for block in self.after:
            x_BTD = block(x_BTD, self.rotation_THF2)
        return self.norm(x_BTD)


def _check(config: HourglassConfig) -> None:
    if len(config.depth) != 3 or min(config.depth) < 0:
        raise TwostageError(
            f"the hourglass's depth={config.depth} must be three numbers of layers, before, in and after groups; "
            "set e.g. [1,2,1]"
        )

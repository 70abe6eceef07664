"""Rotary positions: pairs of channels of a head are rotated by angles that grow with the position of the token.

The product of a query and a key then depends only on their contents and on the difference of their positions.
Source: Su et al. 2021; on grids McKinney & Willcocks 2022, Sec. 3.2.
"""

# B batch, T tokens, N any number of tensors, H heads, E width of a head, F = E / 2 pairs, R rows, W columns

import math

import torch

from twostage.errors import TwostageError

BASE = 10_000.0  # Su et al. 2021
# Released code: all layers except those of the shortened part use the angles of a 16x16 grid.
RELEASED_SIDE = 16


def angles(kind: str, grid: tuple[int, int], head_width: int, num_heads: int, shortened: bool) -> torch.Tensor:
    """Angles of a grid's tokens in row-major order, float32 [T, 1, F], or [T, H, F] if heads differ.

    `kind` is `axial` (half of the pairs for the row, half for the column), `raster` (all pairs for the row-major
    position, with the spectrum of `axial` on an axis of that length), `sequence` (the same with the spectrum of Su et
    al. 2021) or `released` (axial, but only on the first head). `shortened`: whether the tokens are those in the middle
    of the hourglass.
    Raises TwostageError for an unknown kind, or a head width that cannot be divided into these pairs.
    """
    rows, columns = grid
    match kind:
        case "axial":
            pairs_an_axis = _divided(head_width, 4)
            row_RF, column_WF = (torch.arange(side)[:, None] * frequencies(side, pairs_an_axis) for side in grid)
            return _on_grid(row_RF, column_WF)[:, None]
        case "raster":
            frequency_F = frequencies(rows * columns, _divided(head_width, 2))
            return (torch.arange(rows * columns)[:, None] * frequency_F)[:, None]
        case "sequence":
            num_pairs = _divided(head_width, 2)
            frequency_F = BASE ** -(torch.arange(num_pairs) / num_pairs)
            return (torch.arange(rows * columns)[:, None] * frequency_F)[:, None]
        case "released":
            frequency_F = released_frequencies(rows if shortened else RELEASED_SIDE, _divided(head_width, 4))
            first_TF = _on_grid(*(torch.linspace(-1.0, 1.0, side)[:, None] * frequency_F for side in grid))
            return torch.stack([first_TF] + (num_heads - 1) * [torch.zeros_like(first_TF)], dim=1)
        case other:
            raise TwostageError(
                f"the hourglass's rotary={other} is unknown; choose axial, raster, sequence or released"
            )


def frequencies(side: int, number: int) -> torch.Tensor:
    """Angles between neighbouring tokens on an axis of `side` tokens, float32 [number].

    From a quarter turn over the whole axis, which distinguishes its ends and directions, up to half a turn per token.
    Ours: the released angles make full turns over an axis of 32 tokens, so that opposite borders look alike.
    """
    return math.pi * torch.linspace(0.5 / side, 1.0, number)


def released_frequencies(side: int, number: int) -> torch.Tensor:
    """Angles at the end of an axis that runs from -1 to 1, float32 [number]."""
    return math.pi * torch.linspace(1.0, side / 2, number)


def rotation(angle_THF: torch.Tensor) -> torch.Tensor:
    """Cosine and sine, [T, H, F, 2], as `rotate` needs them."""
    return torch.stack([angle_THF.cos(), angle_THF.sin()], dim=-1)


def rotate(x_BTNHE: torch.Tensor, rotation_THF2: torch.Tensor) -> torch.Tensor:
    """Rotates neighbouring pairs of channels, at least in float32. H may be 1: one rotation for all heads."""
    pairs = torch.view_as_complex(x_BTNHE.to(torch.promote_types(x_BTNHE.dtype, torch.float32)).unflatten(-1, (-1, 2)))
    turned = pairs * torch.view_as_complex(rotation_THF2)[:, None]
    return torch.view_as_real(turned).flatten(-2).to(x_BTNHE.dtype)


def _on_grid(row_RF: torch.Tensor, column_WF: torch.Tensor) -> torch.Tensor:
    """[R W, 2 F]: the angles of the row, then those of the column."""
    shape = (len(row_RF), len(column_WF), -1)
    return torch.cat([row_RF[:, None].expand(shape), column_WF.expand(shape)], dim=-1).flatten(0, 1)


def _divided(head_width: int, parts: int) -> int:
    if head_width % parts:
        raise TwostageError(
            f"the hourglass's head_width={head_width} must be divisible by {parts} for this rotary embedding; change it"
        )
    return head_width // parts

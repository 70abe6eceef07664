"""Rotary positions: pairs of a head's numbers are turned by angles that grow with a token's place.

The product of a query and a key then depends on their content and on the difference of their places alone.
Source: Su et al. 2021; on grids McKinney & Willcocks 2022, Sec. 3.2.
"""

# B batch, T tokens, N any number of tensors, H heads, E width of a head, F = E / 2 pairs, R rows, W columns

import math

import torch

from twostage.errors import TwostageError

BASE = 10_000.0  # Su et al. 2021
# Released code: every layer but those of the shortened part takes the grid for one of 16x16.
RELEASED_SIDE = 16


def angles(kind: str, grid: tuple[int, int], head_width: int, num_heads: int, shortened: bool) -> torch.Tensor:
    """Angles of a grid's tokens in row-major order, float32 [T, 1, F], or [T, H, F] where heads differ.

    `kind` is `axial` (half of the pairs for the row, half for the column), `sequence` (all pairs for the row-major
    place, as Su et al. 2021) or `released`: axial, but on the first head alone. `shortened`: whether the tokens are
    those of the hourglass's middle.
    Raises TwostageError for an unknown kind, or a width of heads that has no such pairs.
    """
    rows, columns = grid
    match kind:
        case "axial":
            pairs_an_axis = _divided(head_width, 4)
            row_RF, column_WF = (torch.arange(side)[:, None] * frequencies(side, pairs_an_axis) for side in grid)
            return _on_grid(row_RF, column_WF)[:, None]
        case "sequence":
            num_pairs = _divided(head_width, 2)
            frequency_F = BASE ** -(torch.arange(num_pairs) / num_pairs)
            return (torch.arange(rows * columns)[:, None] * frequency_F)[:, None]
        case "released":
            frequency_F = released_frequencies(rows if shortened else RELEASED_SIDE, _divided(head_width, 4))
            first_TF = _on_grid(*(torch.linspace(-1.0, 1.0, side)[:, None] * frequency_F for side in grid))
            return torch.stack([first_TF] + (num_heads - 1) * [torch.zeros_like(first_TF)], dim=1)
        case other:
            raise TwostageError(f"the hourglass's rotary={other} is unknown; choose axial, sequence or released")


def frequencies(side: int, number: int) -> torch.Tensor:
    """Angles from a token to the next on an axis of `side` tokens, float32 [number].

    From a quarter turn over the whole axis, which tells its ends and directions apart, up to half a turn a token.
    Ours: the released ones turn by whole turns over an axis of 32 tokens, so that opposite borders look alike.
    """
    return math.pi * torch.linspace(0.5 / side, 1.0, number)


def released_frequencies(side: int, number: int) -> torch.Tensor:
    """Angles at the end of an axis that runs from -1 to 1, float32 [number]."""
    return math.pi * torch.linspace(1.0, side / 2, number)


def rotation(angle_THF: torch.Tensor) -> torch.Tensor:
    """Cosine and sine side by side, [T, H, F, 2]: what `rotate` takes."""
    return torch.stack([angle_THF.cos(), angle_THF.sin()], dim=-1)


def rotate(x_BTNHE: torch.Tensor, rotation_THF2: torch.Tensor) -> torch.Tensor:
    """Turns neighbouring pairs of numbers, in float32 at least; H may be one rotation for all heads."""
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
            f"the hourglass's head_width={head_width} is not divisible by {parts}, as this rotary embedding needs; "
            "change it"
        )
    return head_width // parts

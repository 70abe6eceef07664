"""The orders in which a grid of codes can become a sequence (Esser et al. 2021, Sec. D and Fig. 34)."""

# H W rows and columns of the grid, T = H W tokens

import numpy as np

from twostage.config.schema import ORDERINGS
from twostage.errors import TwostageError


def ordering(name: str, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Order of a grid's tokens, int64 [T]: the t-th entry is the row-major position of the t-th token.

    `seed` matters to `random` alone. Every order but `z_curve` exists on every grid. Raises TwostageError for an
    unknown name, an empty grid, or one that has no such order. Source: Esser et al. 2021, Sec. D; `random` is ours.
    """
    if height < 1 or width < 1:
        raise TwostageError(f"orderings.{name} needs a grid of at least 1x1, got {height}x{width}; set data.size")
    match name:
        case "row_major":
            return np.arange(height * width)
        case "spiral_in":
            return _spiral_in(height, width)
        case "spiral_out":
            return _spiral_in(height, width)[::-1].copy()
        case "z_curve":
            return _z_curve(height, width)
        case "subsample":
            return _subsample(height, width)
        case "alternate":
            return _alternate(height, width)
        case "random":
            return np.random.default_rng(seed).permutation(height * width)
        case other:
            raise TwostageError(f"ordering {other} is unknown; choose {', '.join(ORDERINGS)}")


def inverse(order_T: np.ndarray) -> np.ndarray:
    """The order that undoes one, int64 [T]: the p-th entry is the place in the sequence of row-major position p."""
    inverse_T = np.empty_like(order_T)
    inverse_T[order_T] = np.arange(len(order_T))
    return inverse_T


def _grid(height: int, width: int) -> np.ndarray:
    """Row-major positions [H, W]."""
    return np.arange(height * width).reshape(height, width)


def _spiral_in(height: int, width: int) -> np.ndarray:
    """From the lower right corner up the last column, left along the first row, and so on to the middle."""
    left_HW, turns = _grid(height, width), []
    while left_HW.size:
        turns.append(left_HW[::-1, -1])
        # A quarter turn makes the next side the last column.
        left_HW = np.rot90(left_HW[:, :-1], -1)
    return np.concatenate(turns)


def _alternate(height: int, width: int) -> np.ndarray:
    """Row by row, every other one from right to left."""
    grid_HW = _grid(height, width)
    grid_HW[1::2] = grid_HW[1::2, ::-1].copy()
    return grid_HW.ravel()


def _z_curve(height: int, width: int) -> np.ndarray:
    """Morton's curve: blocks of 2x2 in order, blocks of such blocks in the same order, and so on."""
    # On other sides the curve leaves the grid and comes back elsewhere: no preserved locality, which is its point.
    if height & (height - 1) or width & (width - 1):
        raise TwostageError(
            f"orderings.z_curve needs sides that are powers of two, got {height}x{width}; set data.size or choose "
            "priors.ordering=row_major"
        )
    return _sorted_by_bits(height, width, lowest_first=False)


def _subsample(height: int, width: int) -> np.ndarray:
    """Every other row and column first, then the three grids beside it; each of the four is ordered likewise."""
    return _sorted_by_bits(height, width, lowest_first=True)


def _sorted_by_bits(height: int, width: int, lowest_first: bool) -> np.ndarray:
    """Positions sorted by the interleaved bits of row and column, a row's bit before the column's of equal value."""
    row_T, column_T = np.divmod(np.arange(height * width), width)
    bits = range(max(height, width).bit_length())
    keys = [axis_T >> bit & 1 for bit in (bits if lowest_first else reversed(bits)) for axis_T in (row_T, column_T)]
    # lexsort takes the key that decides first as its last.
    return np.lexsort(keys[::-1])

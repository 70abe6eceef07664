"""The orders in which a grid of codes can become a sequence (Esser et al. 2021, Sec. D and Fig. 34)."""

# H W rows and columns of the grid, T = H W tokens

from collections.abc import Callable

import numpy as np

from twostage.errors import TwostageError


def ordering(ordering: str, height: int, width: int) -> np.ndarray:
    """Order of a grid's tokens, int64 [T]: the t-th entry is the row-major position of the t-th token.

    Every order but `z_curve` exists on every grid. Raises TwostageError for an unknown name, an empty grid, or one that
    has no such order. Source: Esser et al. 2021, Sec. D; `random` is ours.
    """
    if height < 1 or width < 1:
        raise TwostageError(f"orderings.{ordering} needs a grid of at least 1x1, got {height}x{width}; set data.size")
    # One entry alone, so that a job counts the code of its own order only.
    try:
        order = ORDERS[ordering]
    except KeyError:
        raise TwostageError(f"ordering {ordering} is unknown; choose one of twostage.config.schema.ORDERINGS") from None
    return order(height, width)


def inverse(order_T: np.ndarray) -> np.ndarray:
    """The order that undoes one, int64 [T]: the p-th entry is the place in the sequence of row-major position p."""
    inverse_T = np.empty_like(order_T)
    inverse_T[order_T] = np.arange(len(order_T))
    return inverse_T


def _grid(height: int, width: int) -> np.ndarray:
    """Row-major positions [H, W]."""
    return np.arange(height * width).reshape(height, width)


def _row_major(height: int, width: int) -> np.ndarray:
    """Row by row, from left to right."""
    return np.arange(height * width)


def _spiral_in(height: int, width: int) -> np.ndarray:
    """From the lower right corner up the last column, left along the first row, and so on to the middle."""
    left_HW, turns = _grid(height, width), []
    while left_HW.size:
        turns.append(left_HW[::-1, -1])
        # A quarter turn makes the next side the last column.
        left_HW = np.rot90(left_HW[:, :-1], -1)
    return np.concatenate(turns)


def _spiral_out(height: int, width: int) -> np.ndarray:
    """From the middle to the lower right corner."""
    return _spiral_in(height, width)[::-1].copy()


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


def _random(height: int, width: int) -> np.ndarray:
    """An order without any locality, the same for every grid of this size."""
    return np.random.default_rng(0).permutation(height * width)


def _sorted_by_bits(height: int, width: int, lowest_first: bool) -> np.ndarray:
    """Positions sorted by the interleaved bits of row and column, a row's bit before the column's of equal value."""
    row_T, column_T = np.divmod(np.arange(height * width), width)
    bits = range(max(height, width).bit_length())
    keys = [axis_T >> bit & 1 for bit in (bits if lowest_first else reversed(bits)) for axis_T in (row_T, column_T)]
    # lexsort takes the key that decides first as its last.
    return np.lexsort(keys[::-1])


# A new one is a function here, a line below, and its name in twostage.config.schema.ORDERINGS.
ORDERS: dict[str, Callable[[int, int], np.ndarray]] = {
    "row_major": _row_major,
    "spiral_out": _spiral_out,
    "z_curve": _z_curve,
    "subsample": _subsample,
    "alternate": _alternate,
    "spiral_in": _spiral_in,
    "random": _random,
}

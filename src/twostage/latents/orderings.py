"""The orders in which a grid of codes can become a sequence (Esser et al. 2021, Sec. D and Fig. 34)."""

# H W rows and columns of the grid, T = H W tokens

from collections.abc import Callable

import numpy as np

from twostage.config import plugins
from twostage.errors import TwostageError


def ordering(ordering: str, height: int, width: int) -> np.ndarray:
    """Order of a grid's tokens, int64 [T]: the t-th entry is the row-major position of the t-th token.

    `z_curve` needs sides that are powers of two; all other orders exist on every grid. Raises TwostageError for an
    unknown name, an empty grid, or a grid without this order. Source: Esser et al. 2021, Sec. D; `random` is ours.
    """
    if height < 1 or width < 1:
        raise TwostageError(f"orderings.{ordering} needs a grid of at least 1x1, got {height}x{width}; set data.size")
    # Look up one entry, so that the fingerprint of a job contains only the code of its own order.
    try:
        order = ORDERS[ordering]
    except KeyError:
        raise TwostageError(f"ordering {ordering} is unknown; choose one of twostage.config.schema.ORDERINGS") from None
    return order(height, width)


def add_ordering(name: str, order: Callable[[int, int], np.ndarray]) -> None:
    """Adds an ordering of a plugin: `priors.ordering=NAME`. `order` maps rows and columns of a grid to its positions.

    Raises TwostageError if the name is taken; the ordering does, when it is used, if it gives no order of the grid.
    """

    def checked(height: int, width: int) -> np.ndarray:
        with plugins.running("ordering", name):
            order_T = np.asarray(order(height, width))
        if order_T.ndim != 1 or sorted(order_T.tolist()) != list(range(height * width)):
            raise TwostageError(
                f"ordering {name} gives no order of a {height}x{width} grid; return each position once, from 0 on"
            )
        return order_T.astype(np.int64)

    plugins.add("ordering", name, ORDERS, checked)


def inverse(order_T: np.ndarray) -> np.ndarray:
    """The inverse order, int64 [T]: the p-th entry is the place in the sequence of row-major position p."""
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
        # A quarter turn makes the next side of the spiral the last column.
        left_HW = np.rot90(left_HW[:, :-1], -1)
    return np.concatenate(turns)


def _spiral_out(height: int, width: int) -> np.ndarray:
    """The reverse spiral, from the middle to the lower right corner."""
    return _spiral_in(height, width)[::-1].copy()


def _alternate(height: int, width: int) -> np.ndarray:
    """Row by row, every second row from right to left."""
    grid_HW = _grid(height, width)
    grid_HW[1::2] = grid_HW[1::2, ::-1].copy()
    return grid_HW.ravel()


def _z_curve(height: int, width: int) -> np.ndarray:
    """Morton's curve: blocks of 2x2 in order, blocks of such blocks in the same order, and so on."""
    # With other sides the curve leaves the grid and returns elsewhere, so it does not preserve locality.
    if height & (height - 1) or width & (width - 1):
        raise TwostageError(
            f"orderings.z_curve needs sides that are powers of two, got {height}x{width}; set data.size or choose "
            "priors.ordering=row_major"
        )
    return _sorted_by_bits(height, width, lowest_first=False)


def _subsample(height: int, width: int) -> np.ndarray:
    """Every second row and column first, then the three shifted grids; each of the four is ordered in the same way."""
    return _sorted_by_bits(height, width, lowest_first=True)


def _random(height: int, width: int) -> np.ndarray:
    """A random order, the same for all grids of this size."""
    return np.random.default_rng(0).permutation(height * width)


def _sorted_by_bits(height: int, width: int, lowest_first: bool) -> np.ndarray:
    """Positions sorted by the interleaved bits of row and column, with the row's bit first."""
    row_T, column_T = np.divmod(np.arange(height * width), width)
    bits = range(max(height, width).bit_length())
    keys = [axis_T >> bit & 1 for bit in (bits if lowest_first else reversed(bits)) for axis_T in (row_T, column_T)]
    # The last key of lexsort is the primary one.
    return np.lexsort(keys[::-1])


# To add an order, write its function, add a line here, and add its name to twostage.config.schema.ORDERINGS.
ORDERS: dict[str, Callable[[int, int], np.ndarray]] = {
    "row_major": _row_major,
    "spiral_out": _spiral_out,
    "z_curve": _z_curve,
    "subsample": _subsample,
    "alternate": _alternate,
    "spiral_in": _spiral_in,
    "random": _random,
}

"""Windows on a canvas: which window predicts which token, and which tokens can be drawn at the same time.

Source: Esser et al. 2021, Sec. 3.2 and Fig. 3. Windows at the borders as in the released code.
"""

# H W rows and columns of the canvas, h w those of the window, in tokens

from dataclasses import dataclass

import numpy as np

from twostage.errors import TwostageError


@dataclass(frozen=True)
class Place:
    """A token of the canvas and the window that predicts it."""

    rank: int  # row-major on the canvas
    top: int  # of the window
    left: int
    local: int  # row-major in the window, so also the number of the window's tokens before this one

    @property
    def window(self) -> tuple[int, int]:
        """Identifies the window by its upper left corner."""
        return self.top, self.left


@dataclass(frozen=True)
class Canvas:
    """A canvas of `height` x `width` tokens with windows of `window` = (rows, columns).

    Raises TwostageError if the window is larger than the canvas.
    """

    height: int
    width: int
    window: tuple[int, int]

    def __post_init__(self) -> None:
        rows, columns = self.window
        if rows > self.height or columns > self.width:
            raise TwostageError(
                f"the window is larger than the canvas: the prior sees {rows}x{columns} tokens, sampling.canvas is "
                f"{self.height}x{self.width}; enlarge the canvas"
            )

    @property
    def num_tokens(self) -> int:
        """Number of tokens of the canvas."""
        return self.height * self.width

    def places(self) -> list[Place]:
        """All tokens in row-major order."""
        return [self._place(row, column) for row in range(self.height) for column in range(self.width)]

    def _place(self, row: int, column: int) -> Place:
        top, left = first(row, self.window[0], self.height), first(column, self.window[1], self.width)
        local = (row - top) * self.window[1] + column - left
        return Place(row * self.width + column, top, left, local)

    def waves(self, num_given: int = 0) -> list[list[Place]]:
        """All tokens except the first `num_given`, in waves. The tokens of a wave are drawn at once.

        A causal model sees only the tokens of the window before the predicted one. So a token waits only for these, and
        joins the first wave after the last of them. On wide canvases each row is one window behind the row above it.
        """
        wave_HW = np.full((self.height, self.width), -1)
        waves: list[list[Place]] = []
        for place in self.places()[num_given:]:
            row, column = divmod(place.rank, self.width)
            above = wave_HW[place.top : row, place.left : place.left + self.window[1]]
            before = wave_HW[row, place.left : column]
            wave = 1 + max(above.max(initial=-1), before.max(initial=-1))
            wave_HW[row, column] = wave
            if wave == len(waves):
                waves.append([])
            waves[wave].append(place)
        return waves


def first(position: int, window: int, side: int) -> int:
    """First row (or column) of the window that predicts `position` of `side`: centred if the canvas allows it."""
    return min(max(position - window // 2, 0), side - window)

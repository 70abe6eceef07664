"""Masks of inpainting: which pixels and which codes are redrawn."""

# H W height and width, pixels; h w rows and columns, codes; r c rows and columns, squares of a board

from pathlib import Path

import numpy as np

from twostage.data.pictures import UndecodableError, binary_array, decode
from twostage.errors import TwostageError

MASKS = ("block", "random", "half", "outpainting")
# Squares of a random mask per side. In grids with sides of 8, 16 or 32, each code lies in exactly one square.
SQUARES = 8


def generated_mask(kind: str, size: tuple[int, int], share: float, rng: np.random.Generator) -> np.ndarray:
    """A mask bool [H, W], true where the image is redrawn.

    `block`: a square at a random position. `random`: some squares of an 8x8 board. `half`: the right half, for any
    share. `outpainting`: everything except a square in the middle. `share`: masked pixels, in (0, 1). Raises
    TwostageError for another kind or share.
    """
    height, width = size
    if not 0 < share < 1:
        raise TwostageError(f"sampling.inpainting.mask_share={share} must be in (0, 1); set e.g. 0.25")
    mask_HW = np.zeros(size, bool)
    match kind:
        case "block":
            _square(mask_HW, (round(height * share**0.5), round(width * share**0.5)), rng)
        case "random":
            board = min(SQUARES, height), min(SQUARES, width)
            number = max(round(share * board[0] * board[1]), 1)
            masked_rc = rng.permutation(board[0] * board[1]).reshape(board) < number
            row_H, column_W = (np.arange(side) * squares // side for side, squares in zip(size, board, strict=True))
            mask_HW = masked_rc[row_H[:, None], column_W]
        case "half":
            mask_HW[:, width // 2 :] = True
        case "outpainting":
            kept = (1 - share) ** 0.5
            rows, columns = round(height * kept), round(width * kept)
            top, left = (height - rows) // 2, (width - columns) // 2
            mask_HW[:] = True
            mask_HW[top : top + rows, left : left + columns] = False
        case other:
            raise TwostageError(f"sampling.inpainting.mask={other} is unknown; choose {', '.join(MASKS)} or file")
    return mask_HW


def _square(mask_HW: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> None:
    rows, columns = max(size[0], 1), max(size[1], 1)
    top = rng.integers(0, mask_HW.shape[0] - rows + 1)
    left = rng.integers(0, mask_HW.shape[1] - columns + 1)
    mask_HW[top : top + rows, left : left + columns] = True


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The mask bool [H, W] of a picture of 0 and 1, or black and white: true where it is 1, or brighter than mid-grey.

    Raises TwostageError if the file is missing, not a picture, coloured, transparent, or of another size.
    """
    try:
        picture = decode(path.expanduser())
    except UndecodableError as error:
        raise TwostageError(
            f"sampling.inpainting.mask_file={path} is missing or not a picture ({error.reason}); give a PNG"
        ) from error
    columns, rows = picture.size
    if (rows, columns) != size:
        raise TwostageError(
            f"{path} is a mask of {rows}x{columns} pixels (rows x columns), but the images have "
            f"{size[0]}x{size[1]}; scale the mask"
        )
    return binary_array(picture, size) > 0


def code_mask(mask_HW: np.ndarray, factor: int, rule: str) -> np.ndarray:
    """The codes bool [h, w] to redraw.

    Rule `all_pixels`: codes whose factor x factor pixels are all masked (McKinney & Willcocks 2022, Sec. 3.6: a logical
    AND). Rule `any_pixel`: codes with any masked pixel (released code).
    Raises TwostageError for another rule, a size that is not divisible by the factor, or if no code is left.
    """
    height, width = mask_HW.shape
    if height % factor or width % factor:
        raise TwostageError(f"a mask of {height}x{width} pixels is not divisible by the tokenizer's factor {factor}")
    pixel_hfwf = mask_HW.reshape(height // factor, factor, width // factor, factor)
    match rule:
        case "all_pixels":
            code_hw = np.asarray(pixel_hfwf.all((1, 3)))
        case "any_pixel":
            code_hw = np.asarray(pixel_hfwf.any((1, 3)))
        case other:
            raise TwostageError(f"sampling.inpainting.rule={other} is unknown; choose all_pixels or any_pixel")
    if not code_hw.any():
        mend = ", or set sampling.inpainting.rule=any_pixel" if mask_HW.any() else ""
        raise TwostageError(
            f"by the rule {rule}, the mask covers no code of {factor}x{factor} pixels; enlarge it{mend}"
        )
    return code_hw

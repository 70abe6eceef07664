"""Image coordinates as a condition, for data that is not alike everywhere (Esser et al. 2021, Sec. 3.2)."""

# H W rows and columns of the canvas, in tokens

import numpy as np

from twostage.runtime.artifacts import sha256_json


def coordinate_codes(size: tuple[int, int], factor: int, num_codes: int) -> np.ndarray:
    """Codes int64 [H, W] in [0, num_codes) of a canvas of `size` = (H, W) tokens, each of factor x factor pixels.

    The row-major rank of a pixel over the number of pixels, averaged over a token's pixels, times the number of codes,
    rounded. Source: released code (one channel for both directions). Ours: rounding up to `num_codes`, which has no
    code, ends at the last one.
    """
    height, width = size
    # The mean rank of a square of pixels is the rank of its middle.
    row_H1 = np.arange(height)[:, None] * factor + (factor - 1) / 2
    column_W = np.arange(width) * factor + (factor - 1) / 2
    share_HW = (row_H1 * width * factor + column_W) / (height * width * factor**2)
    return np.rint(share_HW * num_codes).astype(np.int64).clip(max=num_codes - 1)


def coordinates_sha256(factor: int, num_codes: int) -> str:
    """What stands for the checksum of a tokenizer: coordinates have none, their codes mean what the formula says."""
    return sha256_json({"formula": "coordinate_codes", "factor": factor, "num_codes": num_codes})

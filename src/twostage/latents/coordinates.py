"""Image coordinates as a condition, for data that is not spatially invariant (Esser et al. 2021, Sec. 3.2)."""

# H W rows and columns of the canvas, in tokens

import numpy as np

from twostage.runtime.artifacts import sha256_json


def coordinate_codes(size: tuple[int, int], factor: int, num_codes: int) -> np.ndarray:
    """Codes int64 [H, W] in [0, num_codes) for a canvas of `size` = (H, W) tokens, each of factor x factor pixels.

    The row-major rank of a pixel, divided by the number of pixels, averaged over the pixels of a token, times the
    number of codes, rounded. Source: released code (one channel for both directions). Ours: codes are clipped to the
    last one.
    """
    height, width = size
    # The mean rank of a square of pixels is the rank of its centre.
    row_H1 = np.arange(height)[:, None] * factor + (factor - 1) / 2
    column_W = np.arange(width) * factor + (factor - 1) / 2
    share_HW = (row_H1 * width * factor + column_W) / (height * width * factor**2)
    return np.rint(share_HW * num_codes).astype(np.int64).clip(max=num_codes - 1)


def coordinates_sha256(factor: int, num_codes: int) -> str:
    """Replaces the checksum of a tokenizer. Coordinates have none; the formula defines their codes."""
    return sha256_json({"formula": "coordinate_codes", "factor": factor, "num_codes": num_codes})

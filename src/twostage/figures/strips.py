"""Images side by side as one picture."""

# M images, H height, W width

import numpy as np


def strip(image_MHW3: np.ndarray) -> np.ndarray:
    """uint8 [M, H, W, 3] -> [H + 2, M (W + 2), 3]: one row, white lines between the images."""
    padded = np.pad(image_MHW3, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)

"""Combines many images into one picture."""

# N images, H height, W width, C channels

import math
from pathlib import Path

import numpy as np
from PIL import Image

from twostage.runtime.artifacts import atomic_path


def tiled(image_NHWC: np.ndarray, gap: int = 2) -> np.ndarray:
    """All images in one uint8 [height, width, C], row by row on a nearly square grid, `gap` white pixels apart."""
    num_images, height, width, channels = image_NHWC.shape
    columns = math.ceil(math.sqrt(num_images))
    rows = math.ceil(num_images / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for n, image_HWC in enumerate(image_NHWC):
        top, left = n // columns * (height + gap), n % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image_HWC
    return sheet


def write_png(path: Path, image_HWC: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] or [H, W, 1] as PNG."""
    with atomic_path(path) as temporary:
        Image.fromarray(image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC).save(temporary, format="PNG")

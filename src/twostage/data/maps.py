"""Makes maps from images: Canny edges, low resolution and Fashion-MNIST's layout."""

# N images, H height, W width, C channels

import numpy as np
from skimage.color import rgb2gray
from skimage.feature import canny

# The background of Fashion-MNIST is exactly 0; brighter pixels are garment.
GARMENT_ABOVE = 0


def canny_edges(image_NHWC: np.ndarray, sigma: float) -> np.ndarray:
    """Edges of uint8 RGB images: uint8 NHW, 255 on an edge and 0 elsewhere (Canny 1986).

    `sigma`: Gaussian width in pixels. The thresholds are scikit-image's defaults.
    """
    edges_NHW = [canny(rgb2gray(image_HWC), sigma=sigma) for image_HWC in image_NHWC]
    return np.stack(edges_NHW).astype(np.uint8) * np.uint8(255)


def garment_layout(grey_NHW: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Fashion-MNIST's layout: uint8 NHW, 0 on the background and 1 + garment class (1 to 10) on the garment."""
    garment_N11 = (np.asarray(label_N) + 1).astype(np.uint8)[:, None, None]
    return np.where(grey_NHW > GARMENT_ABOVE, garment_N11, np.uint8(0))


def low_resolution(image_NHWC: np.ndarray, factor: int) -> np.ndarray:
    """uint8 images with sides shorter by `factor`: each pixel is the rounded mean of factor x factor pixels."""
    num_images, height, width, channels = image_NHWC.shape
    blocks = image_NHWC.reshape(num_images, height // factor, factor, width // factor, factor, channels)
    return np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)

"""Condition maps as pictures."""

# N images, H height, W width, C channels

import colorsys

import numpy as np


def shown_map(map_NHWC: np.ndarray, side: int, num_labels: int | None) -> np.ndarray:
    """Maps of one or three channels as pictures uint8 [N, side, side, 3]: labels in colours, the rest as it is.

    `num_labels`: of a map of label ids, else None. A smaller map is enlarged by whole pixels.
    """
    if num_labels is not None:
        picture_NHWC = _palette(num_labels)[map_NHWC[..., 0]]
    else:
        picture_NHWC = np.broadcast_to(map_NHWC, (*map_NHWC.shape[:3], 3))
    times = side // map_NHWC.shape[1]
    return picture_NHWC.repeat(times, axis=1).repeat(times, axis=2)


def _palette(num_labels: int) -> np.ndarray:
    """Label 0 black; the others hues a golden angle apart, so that neighbours differ: uint8 [num_labels, 3]."""
    hues = [(label * 0.381966) % 1.0 for label in range(1, num_labels)]
    colours = [(0.0, 0.0, 0.0), *(colorsys.hsv_to_rgb(hue, 0.65, 0.95) for hue in hues)]
    return (np.array(colours) * 255).round().astype(np.uint8)

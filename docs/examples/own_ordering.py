"""Adds the ordering `columns` and the quantity `brightness`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from twostage.evaluation.quantities import Quantity, add_quantity
from twostage.latents.orderings import add_ordering
from twostage.runtime.artifacts import read_array


def columns(height: int, width: int) -> np.ndarray:
    """Row-major positions of a grid's tokens, int64 [height * width], in the order in which they are drawn."""
    return np.arange(height * width).reshape(height, width).T.ravel()


def brightness(folders: Mapping[str, Path]) -> float:
    """Mean of all pixels of the samples, from 0 to 1."""
    samples_NHWC = read_array(folders["sampling"] / "samples.npy")
    return float(samples_NHWC.mean() / 255)


add_ordering("columns", columns)
add_quantity("brightness", Quantity("mean brightness", "", ".3f", "neither", role="sampling", measure=brightness))

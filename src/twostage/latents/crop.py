"""Verb `latents.crop`: cuts windows from index grids, for priors whose sequence is shorter than an image.

Windows of a whole grid correspond to the paper's crops of side * f pixels, except that here the first stage also sees
pixels beyond the border of the crop. Source: Esser et al. 2021, Sec. 4.3.
"""

# N images, W windows, h w whole grid, s side of a window

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import MISSING

from twostage.config.schema import SPLITS
from twostage.errors import TwostageError
from twostage.latents.dataset import index_file
from twostage.latents.statistics import code_statistics
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)


@dataclass
class WindowsConfig:
    """Windows of index grids, for priors whose sequence is shorter than an image."""

    side: int = MISSING  # rows and columns of a window, tokens
    per_image: int = MISSING  # windows per training image; one per image of the other splits
    seed: int = MISSING


def crop(config: WindowsConfig, job: Job) -> None:
    """Writes `<split>_index.npy` for every split, then `metadata.json`: latents with a smaller grid.

    Raises TwostageError if the window is larger than the grid.
    """
    whole = read_json(job.upstream("latents") / "metadata.json")
    if config.side > min(whole["grid"]) or min(config.side, config.per_image) < 1:
        raise TwostageError(
            f"latents.crop: {config.per_image} windows of {config.side}x{config.side} tokens from a grid of "
            f"{whole['grid'][0]}x{whole['grid'][1]}; need at least 1 window, of at least 1x1 and at most the grid"
        )
    splits: dict[str, Any] = {}
    for at, split in enumerate(SPLITS):
        per_image = config.per_image if split == "train" else 1
        index_Nhw = read_array(job.upstream("latents") / index_file(split))
        index_Wss = windows(index_Nhw, config.side, per_image, np.random.default_rng((config.seed, at)))
        write_array(job.folder / index_file(split), index_Wss)
        counts_K = np.bincount(index_Wss.ravel(), minlength=whole["num_codes"])
        splits[split] = whole["splits"][split] | {"num_images": len(index_Wss)} | code_statistics(counts_K)
        log.info("%s: %s", split, splits[split])
    grid = [config.side, config.side]
    write_json(job.folder / "metadata.json", whole | {"grid": grid, "whole_grid": whole["grid"], "splits": splits})


def windows(index_Nhw: np.ndarray, side: int, per_image: int, random: np.random.Generator) -> np.ndarray:
    """[W, s, s], W = N * per_image: all images once, then all again. Window positions are uniformly random."""
    num_images, height, width = index_Nhw.shape
    num_windows = num_images * per_image
    top_W = random.integers(0, height - side + 1, num_windows)
    left_W = random.integers(0, width - side + 1, num_windows)
    found = np.empty((num_windows, side, side), index_Nhw.dtype)
    for at, (top, left) in enumerate(zip(top_W, left_W, strict=True)):
        found[at] = index_Nhw[at % num_images, top : top + side, left : left + side]
    return found

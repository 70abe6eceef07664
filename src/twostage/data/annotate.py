"""Verb `data.annotate`: makes a map, such as edges, from the images of a prepared dataset that lacks it.

The output is a dataset of maps for the same images in the same splits: `{split}_{map}.npy` and metadata.json.
"""

# N images, H height, W width, C channels

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import MISSING
from tqdm import tqdm

from twostage.config.schema import SPLITS
from twostage.data import networks
from twostage.data.maps import canny_edges, low_resolution
from twostage.errors import TwostageError
from twostage.runtime.artifacts import new_array, read_array, read_json, sha256_file, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)

# Images per batch: bounds the memory for datasets of any size.
CHUNK = 64

# Maps [N, h, w, C] of images [N, H, W, 3], both uint8.
Annotator = Callable[[np.ndarray], np.ndarray]


@dataclass
class AnnotateConfig:
    """A map to make from the images of a prepared dataset."""

    map: str = MISSING  # low_resolution | edges | segmentation | depth
    factor: int | None = None  # map=low_resolution: factor x factor pixels become one
    canny_sigma: float | None = None  # map=edges: Gaussian width, pixels


def annotate(config: AnnotateConfig, job: Job) -> None:
    """Writes {train,tune,validation}_<map>.npy, uint8 NHWC, and metadata.json.

    Raises TwostageError if the map cannot be made or the network for it is missing.
    """
    data = read_json(job.upstream("data") / "metadata.json")
    annotator, description = open_annotator(config, data["size"])
    with contextlib.ExitStack() as stack:
        for split in SPLITS:
            images = read_array(job.upstream("data") / f"{split}_image.npy")
            path = job.folder / f"{split}_{config.map}.npy"
            shape = (len(images), *annotator(images[:1]).shape[1:])
            maps = stack.enter_context(new_array(path, shape, np.uint8))
            for start in tqdm(range(0, len(images), CHUNK), desc=f"{config.map} {split}", unit="chunk", disable=None):
                maps[start : start + CHUNK] = annotator(images[start : start + CHUNK])
    checksums = {split: sha256_file(job.folder / f"{split}_{config.map}.npy") for split in SPLITS}
    facts = {key: data[key] for key in ("name", "source", "size", "classes", "splits")}
    maps_made = {config.map: {**description, "sha256": checksums}}
    write_json(job.folder / "metadata.json", facts | {"maps": maps_made, "annotated": True})
    log.info("%s: %s of %d images", job.variant, config.map, sum(s["num_images"] for s in data["splits"].values()))


def open_annotator(config: AnnotateConfig, size: int) -> tuple[Annotator, dict[str, Any]]:
    """The function that makes the map, and the map's channels and kind."""
    match config.map:
        case "low_resolution":
            factor = config.factor or 0
            if factor < 2 or size % factor:
                raise TwostageError(
                    f"scale.data.low_resolution_factor={factor} does not divide images of {size}x{size}; set 2 or more"
                )
            return lambda image: low_resolution(image, factor), {"channels": 3, "kind": "colour", "factor": factor}
        case "edges":
            if config.canny_sigma is None:
                raise TwostageError("data.canny_sigma is not set; set the width of the edge detector in pixels")
            sigma = config.canny_sigma
            return lambda image: canny_edges(image, sigma)[..., None], {"channels": 1, "kind": "binary"}
        case "segmentation":
            segmenter, weights = networks.load_segmenter()
            return segmenter, {"channels": networks.NUM_LABELS, "kind": "labels", "weights": weights}
        case "depth":
            estimator, weights = networks.load_depth_estimator()
            return estimator, {"channels": 1, "kind": "grey", "weights": weights}
        case other:
            raise TwostageError(
                f"data.annotate makes low_resolution, edges, segmentation and depth, got {other}; put other maps "
                "beside your pictures (conf/data/folder.yaml)"
            )

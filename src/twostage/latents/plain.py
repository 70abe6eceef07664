"""Verb `latents.plain`: index grids of conditions without a tokenizer: class labels and image coordinates.

They are paired with an image's latents like other conditions: same images, same order, same flips.
Source: Esser et al. 2021, Sec. 3.2 (Eq. 10) and 4.2 (v): "a single index describing the class label".
"""

# N images, h w grid of the condition

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import MISSING

from twostage.config.schema import SPLITS
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes, coordinates_sha256
from twostage.latents.dataset import index_file
from twostage.latents.statistics import code_statistics
from twostage.runtime.artifacts import read_array, read_json, sha256_json, write_array, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)


@dataclass
class PlainConfig:
    """Index grids of a condition that needs no tokenizer."""

    map: str = MISSING  # class | coordinates
    flips: bool = MISSING  # equal to those of the image latents
    train_images: int | None = MISSING
    validation_images: int | None = MISSING
    factor: int = 1  # map=coordinates: f of the images' tokenizer
    num_codes: int = 1  # map=coordinates: size of the codebook, as in the released code


def plain(config: PlainConfig, job: Job) -> None:
    """Writes `<split>_index.npy` for every split, then `metadata.json`: latents without a tokenizer.

    Raises TwostageError if the data has no classes, if a label is out of range, or for another kind of condition.
    """
    data = read_json(job.upstream("data") / "metadata.json")
    vocabulary, grid = _space(config, data)
    splits: dict[str, Any] = {}
    for split in SPLITS:
        limit = config.train_images if split == "train" else config.validation_images
        label_N = read_array(job.upstream("data") / f"{split}_label.npy")[:limit]
        index_Nhw = _codes(config, label_N, vocabulary["num_codes"], grid)
        # Mirroring an image changes neither its class nor the positions on the canvas.
        if split == "train" and config.flips:
            index_Nhw = np.concatenate([index_Nhw, index_Nhw])
        write_array(job.folder / index_file(split), index_Nhw)
        counts_K = np.bincount(index_Nhw.ravel(), minlength=vocabulary["num_codes"])
        manifest = data["splits"][split]["manifest_sha256"]
        splits[split] = {"num_images": len(index_Nhw), **code_statistics(counts_K), "manifest_sha256": manifest}
        log.info("%s: %s", split, splits[split])
    metadata = {
        **vocabulary,
        "grid": list(grid),
        "map": config.map,
        "data": data["name"],
        "flips": config.flips,
        "splits": splits,
    }
    write_json(job.folder / "metadata.json", metadata)


def _space(config: PlainConfig, data: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, int]]:
    """The vocabulary, with the names of its codes if they have any, and the grid.

    Two vocabularies have the same replacement for a tokenizer's checksum if their codes have the same meaning.
    """
    match config.map:
        case "class":
            classes = data["classes"]
            if not classes:
                raise TwostageError(
                    f"priors.condition=class, but dataset {data['name']} has no classes; put its pictures into one "
                    "sub-folder per class, or choose another condition"
                )
            vocabulary = {"num_codes": len(classes), "classes": classes}
            return vocabulary | {"tokenizer_sha256": sha256_json(vocabulary)}, (1, 1)
        case "coordinates":
            side = data["size"] // config.factor
            meaning = coordinates_sha256(config.factor, config.num_codes)
            return {"num_codes": config.num_codes, "tokenizer_sha256": meaning}, (side, side)
        case other:
            raise TwostageError(
                f"latents.plain makes class and coordinates, got {other}; encode other maps with their tokenizer"
            )


def _codes(config: PlainConfig, label_N: np.ndarray, num_codes: int, grid: tuple[int, int]) -> np.ndarray:
    """Codes uint16 [N, h, w]."""
    if config.map == "class":
        if label_N.min() < 0 or label_N.max() >= num_codes:
            raise TwostageError(
                f"labels are {label_N.min()} to {label_N.max()}, but the dataset has {num_codes} classes; delete its "
                "folder and prepare it again"
            )
        return label_N.astype(np.uint16)[:, None, None]
    codes_hw = coordinate_codes(grid, config.factor, num_codes).astype(np.uint16)
    return np.repeat(codes_hw[None], len(label_N), axis=0)

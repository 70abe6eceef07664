"""Verb `latents.encode`: encodes one map of a dataset with a tokenizer. The decoder never runs."""

# N images, H W height and width, C channels, B batch, h w grid, K vocabulary

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from twostage import tokenizers
from twostage.config.schema import SPLITS, LatentsConfig
from twostage.data.keypoints import MIRRORED
from twostage.errors import TwostageError
from twostage.latents.dataset import index_file
from twostage.latents.statistics import code_statistics
from twostage.runtime import training
from twostage.runtime.artifacts import new_array, read_array, read_json, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)

MAX_CODES = 2**16  # the number of values of uint16


class Encoder(Protocol):
    """The part of a tokenizer that this stage needs."""

    num_codes: int
    factor: int
    kind: str

    def prepare(self, map_BHWC: np.ndarray) -> torch.Tensor:
        """Stored maps uint8 [B, H, W, C] as float32 [B, C, H, W], on the tokenizer's device."""
        ...

    def encode(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Index grid int64 [B, h, w] of a prepared map float32 [B, C, H, W]."""
        ...


@dataclass(frozen=True)
class Source:
    """The map to encode: its name, its kind (colour, binary, grey or labels) and its data folder."""

    folder: Path
    map: str
    kind: str

    def images(self, split: str, limit: int | None) -> np.ndarray:
        """The first `limit` images of a split as a memory map, uint8 [N, H, W, C]."""
        return read_array(self.folder / f"{split}_{self.map}.npy")[:limit]


def encode(config: LatentsConfig, job: Job) -> None:
    """Writes `<split>_index.npy` for every split, then `metadata.json`.

    Raises TwostageError if the data lacks the map, if the vocabulary exceeds uint16, or if the size of the images is
    not divisible by the factor.
    """
    training.seed_everything(0)
    data = read_json(job.upstream("data") / "metadata.json")
    source = Source(job.upstream("data"), config.map, _kind(data, config.map))
    tokenizer = tokenizers.load(job.upstream("tokenizer")).to(training.device())
    _check(tokenizer, source)
    grid = _grid(tokenizer, source)
    splits = {split: _encode_split(tokenizer, source, split, config, job.folder, grid) for split in SPLITS}
    for split, entry in splits.items():
        entry["manifest_sha256"] = data["splits"][split]["manifest_sha256"]
        log.info("%s: %s", split, entry)
    metadata = {
        "num_codes": tokenizer.num_codes,
        "grid": list(grid),
        "map": config.map,
        "tokenizer_sha256": tokenizers.checksum(job.upstream("tokenizer")),
        "data": data["name"],
        "flips": config.flips,
        "splits": splits,
    }
    write_json(job.folder / "metadata.json", metadata)


def _kind(data: dict[str, Any], name: str) -> str:
    if name not in data["maps"]:
        raise TwostageError(
            f"latents.map={name}: dataset {data['name']} has the maps {', '.join(data['maps'])}; "
            f"add {name} to data.maps or choose another map"
        )
    return data["maps"][name]["kind"]


def _check(tokenizer: Encoder, source: Source) -> None:
    if tokenizer.num_codes > MAX_CODES:
        raise TwostageError(
            f"the tokenizer has {tokenizer.num_codes} codes, but latents hold at most {MAX_CODES} (uint16); "
            "set tokenizers.quantizer.num_codes"
        )
    if tokenizer.kind != source.kind:
        raise TwostageError(
            f"latents.map={source.map} is a {source.kind} map, but the tokenizer was trained on a {tokenizer.kind} "
            "map; choose the tokenizer of this map"
        )


def _grid(tokenizer: Encoder, source: Source) -> tuple[int, int]:
    """Rows and columns of the index grids."""
    _, height, width, _ = source.images("train", 1).shape
    if height % tokenizer.factor or width % tokenizer.factor:
        raise TwostageError(
            f"images are {height}x{width}, which is not divisible by the tokenizer's factor "
            f"{tokenizer.factor}; set data.size"
        )
    return height // tokenizer.factor, width // tokenizer.factor


def _encode_split(
    tokenizer: Encoder, source: Source, split: str, config: LatentsConfig, folder: Path, grid: tuple[int, int]
) -> dict[str, Any]:
    """Writes one split's index grids and returns its statistics."""
    limit = config.train_images if split == "train" else config.validation_images
    images_NHWC = source.images(split, limit)
    # Only the training split is augmented. Flips of held-out images would change the reported numbers.
    mirrors = (False, True) if split == "train" and config.flips else (False,)
    num_images = len(images_NHWC)
    counts_K = np.zeros(tokenizer.num_codes, np.int64)
    with (
        new_array(folder / index_file(split), (num_images * len(mirrors), *grid), np.uint16) as index_Nhw,
        tqdm(desc=f"{source.map} {split}", total=len(index_Nhw), unit="image", disable=None) as progress,
    ):
        for at, mirror in enumerate(mirrors):
            for start, batch_BHWC in _batches(images_NHWC, config.batch_size):
                index_Bhw = _encode_batch(tokenizer, _mirrored(batch_BHWC, source.map) if mirror else batch_BHWC)
                first = at * num_images + start
                index_Nhw[first : first + len(index_Bhw)] = index_Bhw
                counts_K += np.bincount(index_Bhw.ravel(), minlength=len(counts_K))
                progress.update(len(index_Bhw))
    return {"num_images": num_images * len(mirrors), **code_statistics(counts_K)}


def _mirrored(images_BHWC: np.ndarray, map_name: str) -> np.ndarray:
    flipped_BHWC = images_BHWC[:, :, ::-1]
    return MIRRORED[flipped_BHWC] if map_name == "pose" else flipped_BHWC


def _batches(images_NHWC: np.ndarray, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(images_NHWC), batch_size):
        yield start, images_NHWC[start : start + batch_size]


@torch.inference_mode()
def _encode_batch(tokenizer: Encoder, images_BHWC: np.ndarray) -> np.ndarray:
    return tokenizer.encode(tokenizer.prepare(images_BHWC)).cpu().numpy()

"""Verb `tokenizers.cluster`: finds a palette by mini-batch k-means over the pixels of one dataset (f = 1).

Source: Esser et al. 2021, Sec. 4.3; Sculley 2010 (mini-batch k-means, by scikit-learn).
"""

# N images, H height, W width, P pixels, K colours

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING
from sklearn.cluster import MiniBatchKMeans

from twostage.config.schema import KMeansConfig
from twostage.errors import TwostageError
from twostage.runtime import training
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job
from twostage.tokenizers import pixels
from twostage.tokenizers.pixels import PixelTokenizer
from twostage.tokenizers.quantizer import count_codes, perplexity
from twostage.tokenizers.task import MapData

log = logging.getLogger(__name__)

# Images per batch of encoding.
BATCH = 250


@dataclass
class ClusterConfig:
    """A k-means tokenizer: the part of TokenizerConfig that it needs."""

    name: str = MISSING
    map: str = MISSING
    kmeans: KMeansConfig = field(default_factory=KMeansConfig)


def cluster(config: ClusterConfig, job: Job) -> None:
    """Writes model.safetensors, config.json and metrics.json.

    Raises TwostageError if the map is not an RGB image, or if its pixels have fewer colours than the palette needs.
    """
    data = MapData.open(job.upstream("data"), config.map)
    if (data.kind, data.num_channels) != ("colour", 3):
        raise TwostageError(
            f"tokenizers.map={config.map} is a {data.kind} map of {data.num_channels} channels; k-means tokenizes "
            "RGB pixels, set tokenizers.map=image"
        )
    start = training.training_clock()
    palette_K3, steps = find_palette(drawn_pixels(data.train_NHWC, config.kmeans), config.kmeans)
    seconds = training.training_clock() - start
    tokenizer = PixelTokenizer(torch.from_numpy(palette_K3)).to(training.device())
    metrics = _metrics(tokenizer, data, config.kmeans) | {"steps": steps, "train_seconds": seconds}
    pixels.save(tokenizer, config.name, job.folder)
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %s", job.variant, metrics)


def drawn_pixels(images_NHWC: np.ndarray, config: KMeansConfig) -> np.ndarray:
    """uint8 [P, 3]: `config.pixels` pixels of all images, drawn by the seed without replacement, or all pixels."""
    total = int(np.prod(images_NHWC.shape[:3]))
    random = np.random.default_rng(config.seed)
    # In the order of the file, so that the memory map of a large dataset is read once.
    place_P = np.sort(random.choice(total, min(config.pixels, total), replace=False))
    # Shuffled, because mini-batches of neighbouring pixels would differ from one another.
    return random.permutation(images_NHWC.reshape(total, 3)[place_P])


def find_palette(pixel_P3: np.ndarray, config: KMeansConfig) -> tuple[np.ndarray, int]:
    """The palette uint8 [K, 3] of pixels uint8 [P, 3], and the number of mini-batches. The seed determines both.

    Raises TwostageError if there are fewer colours than K.
    """
    num_colours = len(np.unique(pixel_P3, axis=0))
    if num_colours < config.num_codes:
        raise TwostageError(
            f"the drawn pixels have {num_colours} colours, fewer than the {config.num_codes} of the palette; lower "
            "tokenizers.kmeans.num_codes or raise tokenizers.kmeans.pixels"
        )
    model = MiniBatchKMeans(
        config.num_codes,
        batch_size=config.batch_size,
        max_iter=config.epochs,
        random_state=config.seed,
        n_init=1,
        # The library's default of three batches would initialise a large palette from few pixels.
        init_size=min(len(pixel_P3), max(3 * config.batch_size, 16 * config.num_codes)),
    ).fit(pixel_P3.astype(np.float64))
    return np.rint(model.cluster_centers_).clip(0, 255).astype(np.uint8), int(model.n_steps_)


def _metrics(tokenizer: PixelTokenizer, data: MapData, config: KMeansConfig) -> dict[str, Any]:
    """The use of the palette on the tune split. The stored numbers count as parameters."""
    count_K = torch.zeros(tokenizer.num_codes, dtype=torch.int64, device=training.device())
    for start in range(0, len(data.tune_NHWC), BATCH):
        index_BHW = tokenizer.encode(tokenizer.prepare(data.tune_NHWC[start : start + BATCH]))
        count_K += count_codes(index_BHW, tokenizer.num_codes)
    return {
        "num_codes": tokenizer.num_codes,
        "codes_used": int((count_K > 0).sum()),
        "perplexity": perplexity(count_K),
        "num_parameters": tokenizer.palette_K3.numel(),
        "num_pixels": min(config.pixels, int(np.prod(data.train_NHWC.shape[:3]))),
    }

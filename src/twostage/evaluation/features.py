"""Verb `evaluation.features`: Inception features of real images, made once per dataset, split and protocol."""

# N images, H height, W width, C channels, D features

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from twostage.config.schema import SPLITS, FeaturesConfig
from twostage.errors import TwostageError
from twostage.runtime import launch, processes, training
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights import fused_inception
from twostage.weights.fused_inception import FusedInception

log = logging.getLogger(__name__)

# What the numbers of every metrics file rest on, in words.
RESIZE = "299x299, bilinear as in TensorFlow 1, by the extractor"
NETWORK = "FID's Inception-v3 (2015-12-05), 2048 features"


def features(config: FeaturesConfig, job: Job) -> None:
    """Writes features.npy, float32 [N, 2048], and metadata.json with the protocol."""
    extractor = fused_inception.load(job.upstream("inception")).to(training.device())
    images = real_images(job.upstream("data"), config, "evaluation.features.images")
    found = extract(extractor, batches(images, config.batch_size, job.variant))
    if not launch.is_first():
        return
    data = read_json(job.upstream("data") / "metadata.json")
    protocol = {
        "real": {
            "data": data["name"],
            "split": config.split,
            "split_content_sha256": data["splits"][config.split]["content_sha256"],
            **image_sizes(images),
        },
        "resize": RESIZE,
        "features": NETWORK,
        "weights": fused_inception.provenance(job.upstream("inception")),
    }
    write_array(job.folder / "features.npy", found["2048"])
    write_json(job.folder / "metadata.json", protocol)
    log.info("%s: features of %d images", job.variant, len(images))


def real_images(folder: Path, config: FeaturesConfig, key: str) -> np.ndarray:
    """The first images of a prepared split, uint8 NHWC; `key` is what says how many.

    Raises TwostageError if there are fewer than asked for.
    """
    if config.split not in SPLITS:
        raise TwostageError(f"evaluation.features.split is {config.split!r}; expected one of {', '.join(SPLITS)}")
    images = read_array(folder / f"{config.split}_image.npy")
    if len(images) < (config.images or 2):
        raise TwostageError(
            f"{key}={config.images}, but the {config.split} split has {len(images)} images; "
            "lower it, or choose another evaluation.features.split"
        )
    return images[: config.images]


def image_sizes(images_NHWC: np.ndarray) -> dict[str, int]:
    """Number and size of images, as protocols name them."""
    return dict(zip(("images", "height", "width"), images_NHWC.shape[:3], strict=True))


def batches(images_NHWC: np.ndarray, batch_size: int, label: str) -> Iterator[np.ndarray]:
    """The images in batches, uint8 NHWC, with a progress bar."""
    for start in tqdm(range(0, len(images_NHWC), batch_size), desc=label, unit="batch", disable=launch.hides_bars()):
        yield images_NHWC[start : start + batch_size]


def extract(extractor: FusedInception, batches_NHWC: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Features float32 [N, D] of uint8 RGB images that come in batches, by the names asked of the extractor.

    Several processes take whole batches in turn; the first one gets the features, the others none.
    """
    device = next(extractor.parameters()).device

    @torch.inference_mode()
    def extracted(batch_NHWC: np.ndarray) -> list[np.ndarray]:
        # A copy: torch warns of read-only memory maps.
        image_NCHW = torch.from_numpy(np.array(batch_NHWC)).permute(0, 3, 1, 2).to(device)
        return [feature_ND.cpu().numpy() for feature_ND in extractor(image_NCHW)]

    parts: dict[str, list[np.ndarray]] = {name: [] for name in extractor.features_list}
    for _, found in processes.in_turn(batches_NHWC, extracted):
        for name, feature_ND in zip(parts, found, strict=True):
            parts[name].append(feature_ND)
    return {name: np.concatenate(part) for name, part in parts.items() if part}

"""Verb `evaluation.samples`: FID, KID, precision and recall of samples against stored features of real images."""

# N real images, M samples, H height, W width, C channels, D features, K classes

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twostage.config.schema import SamplesConfig
from twostage.errors import TwostageError
from twostage.evaluation.distribution import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from twostage.evaluation.features import batches, extract, image_sizes
from twostage.evaluation.infinity import RealStatistics, fid_infinity, least_samples
from twostage.runtime import launch, training
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.runtime.job import Job
from twostage.weights import fused_inception

log = logging.getLogger(__name__)

NO_LOGITS = (
    "the Inception weights have no classifier, as the package fallback lacks it; remove that file from the cache, run "
    "`python -m twostage fetch inception` where torch-fidelity's official file can be reached, convert again"
)


def samples(config: SamplesConfig, job: Job) -> None:
    """Writes metrics.json: every metric of the first `config.images` images of samples.npy, and the protocol.

    Raises TwostageError if samples.npy holds too few images, or no RGB bytes, or a metric needs more of them.
    """
    images = sampled_images(job.upstream("samples") / "samples.npy", config)
    real_ND = torch.from_numpy(np.array(read_array(job.upstream("real") / "features.npy")))
    # Before the minutes that features take.
    require_enough(config, len(real_ND), len(images))
    found = _features(config, job, images)
    if not launch.is_first():
        return
    metrics = {
        "variant": job.variant,
        "scale": job.scale,
        **distances(config, real_ND, found["2048"]),
        **_inception_score(config, found.get("logits_unbiased")),
        "protocol": _protocol(config, job, images),
    }
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: FID %.2f from %d samples", job.variant, metrics["fid"], len(images))


def sampled_images(path: Path, config: SamplesConfig) -> np.ndarray:
    """The first images of a samples.npy, uint8 [M, H, W, 3]. Raises TwostageError if it holds fewer, or others."""
    images = read_array(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise TwostageError(f"{path} holds {images.dtype} {list(images.shape)}; expected uint8 [images, H, W, 3]")
    if len(images) < config.images:
        raise TwostageError(
            f"evaluation.samples.images={config.images}, but {path} holds {len(images)}; lower it or sample more"
        )
    return images[: config.images]


def require_enough(config: SamplesConfig, num_real: int, num_samples: int) -> None:
    """Raises TwostageError, naming the metric and the config key, if there are too few images for any metric."""
    if config.infinity_parts < 2:
        raise TwostageError(
            f"evaluation.samples.infinity_parts is {config.infinity_parts}; FID-infinity draws a line, set at least 2"
        )
    least_of_both = {
        ("KID", "kid_subset_size"): config.kid_subset_size,
        ("precision and recall", "precision_neighbours"): config.precision_neighbours + 1,
        ("density and coverage", "coverage_neighbours"): config.coverage_neighbours + 1,
    }
    least_samples_of = {
        ("FID-infinity", "infinity_parts"): least_samples(config.infinity_parts),
        ("Inception Score", "inception_score_splits"): config.inception_score_splits,
    }
    for (metric, key), least in least_of_both.items():
        _require(metric, key, least, num_real, "real images", "evaluation.features.images")
    for (metric, key), least in (least_of_both | least_samples_of).items():
        _require(metric, key, least, num_samples, "samples", "evaluation.samples.images")


def _require(metric: str, key: str, least: int, count: int, what: str, count_key: str) -> None:
    if count < least:
        raise TwostageError(
            f"{metric}: at least {least} {what} are needed, got {count}; raise {count_key} or lower "
            f"evaluation.samples.{key}"
        )


def distances(config: SamplesConfig, real_ND: torch.Tensor, sample_MD: torch.Tensor) -> dict[str, float]:
    """All that compares features of samples with real ones; `require_enough` says how many there must be."""
    subsets = config.kid_subsets, config.kid_subset_size, config.seed
    real = RealStatistics.of(real_ND.numpy())
    infinity, standard_error = fid_infinity(real, sample_MD.numpy(), config.infinity_parts, config.seed)
    kid_mean, kid_std = kernel_distance(real_ND, sample_MD, *subsets)
    precision, recall = precision_recall(real_ND, sample_MD, config.precision_neighbours)
    density, coverage = density_coverage(real_ND, sample_MD, config.coverage_neighbours)
    return {
        "fid": frechet_distance(real_ND, sample_MD),
        "fid_infinity": infinity,
        "fid_infinity_standard_error": standard_error,
        "kid_mean": kid_mean,
        "kid_std_over_subsets": kid_std,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def _features(config: SamplesConfig, job: Job, images: np.ndarray) -> dict[str, torch.Tensor]:
    folder = job.upstream("inception")
    names = ("2048", "logits_unbiased") if fused_inception.provenance(folder)["classifier"] else ("2048",)
    extractor = fused_inception.load(folder, names).to(training.device())
    found = extract(extractor, batches(images, config.batch_size, job.variant))
    return {name: torch.from_numpy(feature_MD) for name, feature_MD in found.items()}


def _inception_score(config: SamplesConfig, logits_MK: torch.Tensor | None) -> dict[str, float | str | None]:
    names = "inception_score_mean", "inception_score_std_over_splits", "inception_score_not_available"
    if logits_MK is None:
        return dict(zip(names, (None, None, NO_LOGITS), strict=True))
    score = inception_score(logits_MK, config.inception_score_splits, config.seed)
    return dict(zip(names, (*score, None), strict=True))


def _protocol(config: SamplesConfig, job: Job, images: np.ndarray) -> dict[str, Any]:
    """What the numbers rest on: both sets of images, the features, and every metric's settings.

    `sampler` is what the job that made the samples wrote of itself (its seed, say); null if it wrote no metrics.json.
    """
    record = job.upstream("samples") / "metrics.json"
    return {
        **read_json(job.upstream("real") / "metadata.json"),
        "samples": {"from": job.inputs["samples"], **image_sizes(images)},
        "sampler": read_json(record) if record.exists() else None,
        "settings": asdict(config),
    }

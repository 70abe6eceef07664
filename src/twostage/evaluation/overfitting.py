"""Verb `evaluation.overfitting`: a prior on few images, trained to the end and stopped early.

Likelihood says when it overfits. The nearest training images of its samples say whether it copies, and their FID says
what stopping early is worth. Source: Esser et al. 2021, Sec. E of the supplement.
"""

# M samples, L neighbours, H height, W width

from dataclasses import dataclass
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.neighbours import nearest
from twostage.evaluation.reconstruct import reconstructed
from twostage.evaluation.sampled import Metrics, metrics_of
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL, on
from twostage.weights.lpips import PerceptualDistance

RUNS = ("early_stopping", "to_the_end")
BATCH = 100


@dataclass
class OverfittingConfig:
    """What is compared: samples of both runs with the images that the prior was trained on."""

    data: str
    train_images: int | None  # null: all
    images: int  # samples of each run, and validation images, whose neighbours are searched
    neighbours: int
    grid_images: int


def overfitting(config: OverfittingConfig, job: Job) -> None:
    """Writes metrics.json: curves, and LPIPS of samples and of validation images to their nearest training images.

    Validation images are seen through the tokenizer, as samples are. grid.npy, uint8 [2, grid_images, 1 + L, H, W, 3],
    has samples of both runs, each followed by its neighbours. Raises TwostageError if the two runs do not share their
    learning rate, or there are too few images.
    """
    runs = {run: metrics_of(job, f"{run}.prior") for run in RUNS}
    if runs["early_stopping"]["learning_rate"] != runs["to_the_end"]["learning_rate"]:
        raise TwostageError("the two runs have unlike learning rates; delete the folder of one and run again")
    parts = _training_images(config, job)
    unseen = read_array(job.upstream("data") / "validation_image.npy")[: config.images]
    validation = reconstructed(job.upstream("tokenizer"), unseen, BATCH)
    lpips = PerceptualDistance.load(job.upstream("vgg16")).to(training.device())
    found, grids = {}, []
    for run in RUNS:
        samples = read_array(job.upstream(f"{run}.sampling") / "samples.npy")[: config.images]
        distance_ML, neighbours = nearest_of(lpips, samples, parts, config.neighbours, config.grid_images)
        found[run] = _summary(distance_ML[:, 0])
        grids.append(np.concatenate([samples[: config.grid_images, None], neighbours], axis=1))
    distance_ML, _ = nearest_of(lpips, validation, parts, config.neighbours, 1)
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "train_images": read_json(job.upstream("latents") / "metadata.json")["splits"]["train"]["num_images"],
        "images": config.images,
        "runs": {run: _run(job, run) for run in RUNS},
        "curve": _curve(job, "to_the_end"),
        "nearest_lpips": found | {"validation": _summary(distance_ML[:, 0])},
    }
    write_array(job.folder / "grid.npy", np.stack(grids))
    write_json(job.folder / "metrics.json", metrics)


def nearest_of(
    lpips: PerceptualDistance, query_MHWC: np.ndarray, parts: list[np.ndarray], number: int, shown: int
) -> tuple[np.ndarray, np.ndarray]:
    """LPIPS [M, L] of the nearest images out of several arrays, and those of the first `shown` queries."""
    found = [nearest(lpips, query_MHWC, images, number) for images in parts]
    distance_ML = np.concatenate([distance for distance, _ in found], axis=1)
    order_ML = np.argsort(distance_ML, axis=1, kind="stable")[:, :number]
    places = [place_ML[:shown] for _, place_ML in found]
    pictures = np.concatenate(
        [np.stack([images[row] for row in rows]) for images, rows in zip(parts, places, strict=True)], axis=1
    )
    at_M1 = np.arange(len(pictures))[:, None]
    return np.take_along_axis(distance_ML, order_ML, axis=1), pictures[at_M1, order_ML[:shown]]


def _training_images(config: OverfittingConfig, job: Job) -> list[np.ndarray]:
    """The images that the prior has seen and, where its latents have them, the mirrored ones; not read yet."""
    images = read_array(job.upstream("data") / "train_image.npy")[: config.train_images]
    if len(images) < config.neighbours:
        raise TwostageError(
            f"{config.neighbours} neighbours out of {len(images)} training images; lower "
            "scale.study.overfitting.neighbours"
        )
    flips = read_json(job.upstream("latents") / "metadata.json")["flips"]
    return [images, images[:, :, ::-1]] if flips else [images]


def _summary(distance_M: np.ndarray) -> Metrics:
    low, middle, high = np.quantile(distance_M, (0.05, 0.5, 0.95))
    return {
        "mean": float(distance_M.mean()),
        "std": float(distance_M.std(ddof=1)),
        "quantiles": {"q05": float(low), "q50": float(middle), "q95": float(high)},
        "sorted": sorted(float(value) for value in distance_M),
    }


def _run(job: Job, run: str) -> Metrics:
    found = metrics_of(job, f"{run}.prior")
    keys = ("steps", "last_step", "num_parameters", "learning_rate", "learning_rate_at_edge", NLL)
    drawn = {key: metrics_of(job, f"{run}.sampling")[key] for key in ("temperature", "top_k")}
    samples = metrics_of(job, f"{run}.samples")
    judged = {"fid": samples["fid"], "kid_mean": samples["kid_mean"]}
    judged |= {"fid_images": samples["protocol"]["samples"]["images"]}
    train_nll = {on("train", NLL): _train_nll(job, run, found["steps"])}
    return {key: found[key] for key in keys} | train_nll | drawn | judged


def _train_nll(job: Job, run: str, step: int) -> float | None:
    """The mean NLL of training before the step whose weights are kept, as in `_curve`; None at the first point."""
    curve = _curve(job, run)
    return curve["train"][curve["step"].index(step)]


def _curve(job: Job, run: str) -> dict[str, list[Any]]:
    """NLLs over training; that of training is the mean over the steps since the point before, so None at the first."""
    rows, train = read_csv(job.upstream(f"{run}.prior") / "curve.csv"), on("train", NLL)
    return {
        "step": [float(row["step"]) for row in rows],
        "validation": [float(row[NLL]) for row in rows],
        "train": [float(row[train]) if row[train] else None for row in rows],
    }

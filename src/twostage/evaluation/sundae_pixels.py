"""Verb `evaluation.sundae_pixels`: do class-conditional samples look like their class?

Source: McKinney & Willcocks 2022, Sec. 4.2 and Fig. 10.
"""

# K classes, N images, M of each, H W height and width, C channels, P pixels

from dataclasses import dataclass

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.sampled import metrics_of
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import DENOISING

OF_SAMPLING = ("tokens_per_image", "num_codes", "steps", "temperature", "proportion", "seconds_per_image", "clock")
OF_PRIOR = ("num_parameters", "train_seconds", "learning_rate", "learning_rate_at_edge", "unigram_entropy_nats")


@dataclass
class SundaePixelsConfig:
    """Which samples are looked at, and what the paper says of them."""

    label: str  # the row of the study
    data: str
    tokenizer: str
    images: int
    grid_images: int


def sundae_pixels(config: SundaePixelsConfig, job: Job) -> None:
    """Writes metrics.json: the share of samples whose nearest class mean, of training images, is the class that they
    were asked for, beside the same share of held-out images; and grid.npy, uint8 [K, M, H, W, C]: samples by class.

    Raises TwostageError if a class has no sample.
    """
    names = read_json(job.upstream("data") / "metadata.json")["classes"]
    sample_NHWC = np.array(read_array(job.upstream("sampling") / "samples.npy")[: config.images])
    asked_N = np.array(read_array(job.upstream("classes") / "validation_index.npy")[: config.images]).reshape(-1)
    count_K = np.bincount(asked_N, minlength=len(names))
    if not count_K.all():
        raise TwostageError(
            f"none of {config.images} samples is of class {names[int(np.argmin(count_K))]}; raise the images of "
            "scale.study.sundae.pixels"
        )
    mean_KP = class_means(*_split(job, "train"), len(names))
    real_NHWC, label_N = _split(job, "validation")
    sampled, real = (
        classified(images, labels, mean_KP) for images, labels in ((sample_NHWC, asked_N), (real_NHWC, label_N))
    )
    prior, sampling = metrics_of(job, "prior"), metrics_of(job, "sampling")
    metrics = {
        "label": config.label,
        "scale": job.scale,
        "data": config.data,
        "tokenizer": config.tokenizer,
        "denoising_nats_per_token": prior[DENOISING],
        "prior_steps": prior["steps"],
        **{key: prior[key] for key in OF_PRIOR},
        **{key: sampling[key] for key in OF_SAMPLING},
        "num_images": len(sample_NHWC),
        "num_real_images": len(real_NHWC),
        "classified_as_asked": float(sampled.mean()),
        "real_classified_rightly": float(real.mean()),
        "classes": {
            name: {
                "num_images": int(count_K[at]),
                "classified_as_asked": float(sampled[asked_N == at].mean()),
                "real_classified_rightly": float(real[label_N == at].mean()),
            }
            for at, name in enumerate(names)
        },
    }
    shown = min(int(np.min(count_K)), config.grid_images)
    sheet = np.stack([sample_NHWC[asked_N == at][:shown] for at in range(len(names))])
    write_array(job.folder / "grid.npy", sheet)
    write_json(job.folder / "metrics.json", metrics)


def _split(job: Job, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, H, W, C] and labels [N] of a prepared split."""
    image_NHWC, label_N = (read_array(job.upstream("data") / f"{split}_{kind}.npy") for kind in ("image", "label"))
    return image_NHWC, np.array(label_N)


def class_means(image_NHWC: np.ndarray, label_N: np.ndarray, num_classes: int) -> np.ndarray:
    """The mean image of every class, float64 [K, P]."""
    return np.stack([image_NHWC[label_N == at].reshape(-1, image_NHWC[0].size).mean(0) for at in range(num_classes)])


def classified(image_NHWC: np.ndarray, label_N: np.ndarray, mean_KP: np.ndarray) -> np.ndarray:
    """Whether the nearest of the class means is that of the image's label, bool [N]."""
    image_NP = image_NHWC.reshape(len(image_NHWC), -1).astype(np.float64)
    # |x - m|^2 without |x|^2, which is the same for every mean.
    distance_NK = np.square(mean_KP).sum(1) - 2 * image_NP @ mean_KP.T
    return distance_NK.argmin(1) == label_N

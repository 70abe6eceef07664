"""What a prior, its samples and their FID amount to, read from the metrics of the jobs that made them."""

# F sets of samples, M images of each, H height, W width, C channels

from collections.abc import Iterable
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

Metrics = dict[str, Any]

OF_PRIOR = ("num_parameters", "steps", "train_seconds", "seconds_per_step", "learning_rate", "learning_rate_at_edge")
OF_SAMPLING = ("tokens_per_image", "num_images", "batch_size", "temperature", "top_k", "window", "clock")
OF_SAMPLES = ("fid", "fid_infinity", "fid_infinity_standard_error", "kid_mean", "kid_std_over_subsets", "precision",
              "recall", "density", "coverage")  # fmt: skip
# What a pace says of two priors that step in turn (`priors.pace`).
OF_PACE = ("seconds_ratio", "seconds_ratio_ci95_low", "seconds_ratio_ci95_high", "seconds_per_step", "gflops_per_step")
# What sets of samples must share for their FID and seconds to be compared.
DRAWN_ALIKE = ("num_images", "batch_size", "temperature", "top_k", "top_p", "threads", "clock")


def metrics_of(job: Job, name: str) -> Metrics:
    """The metrics.json of one of the job's inputs."""
    return read_json(job.upstream(name) / "metrics.json")


def facts(job: Job, prefix: str) -> Metrics:
    """One line of a study: inputs `<prefix>.prior`, `.latents`, `.sampling` and `.samples`.

    NLL is that of the prior's own sequence, nats per token, null if it has no likelihood; sampling seconds are those of
    drawing and decoding.
    """
    prior, sampling, samples = (metrics_of(job, f"{prefix}.{name}") for name in ("prior", "sampling", "samples"))
    latents = read_json(job.upstream(f"{prefix}.latents") / "metadata.json")
    found = {key: prior[key] for key in OF_PRIOR} | {key: sampling[key] for key in OF_SAMPLING}
    found |= {key: samples[key] for key in OF_SAMPLES}
    return found | {
        "num_codes": latents["num_codes"],
        "grid": latents["grid"],
        "real_images": samples["protocol"]["real"]["images"],
        NLL: prior.get(NLL),
        "unigram_entropy_nats": prior["unigram_entropy_nats"],
        "sampling_seconds_per_image": sampling["seconds_per_image"],
    }


def pace_of(job: Job, name: str = "pace") -> Metrics:
    """What one of the job's inputs, a pace, says of both priors' steps, `own` and `rival`."""
    pace = metrics_of(job, name)
    return {key: pace[key] for key in OF_PACE}


def on_one_clock(row: Metrics, seconds_per_step: float) -> Metrics:
    """The line with training seconds by what a step costs in the pace of two rivals.

    Those of the prior's own run tell what else the machine did, and so cannot be held against another run's.
    """
    return row | {"seconds_per_step": seconds_per_step, "train_seconds": row["steps"] * seconds_per_step}


def require_alike(rows: dict[str, Metrics], keys: tuple[str, ...]) -> None:
    """Raises TwostageError, naming the first, if rows that are to be compared differ in one of `keys`."""
    (first, expected), *others = rows.items()
    for name, row in others:
        for key in keys:
            if row[key] != expected[key]:
                raise TwostageError(
                    f"{name} has {key} {row[key]}, {first} has {expected[key]}; they cannot be compared, delete the "
                    "folder of one and run again"
                )


def require_drawn_alike(job: Job, prefixes: Iterable[str]) -> None:
    """Raises TwostageError if the samples of some lines were drawn or timed in unlike ways."""
    require_alike({prefix: metrics_of(job, f"{prefix}.sampling") for prefix in prefixes}, DRAWN_ALIKE)


def shown(job: Job, prefixes: list[str], num_images: int) -> np.ndarray:
    """The first samples of each set, uint8 [F, M, H, W, C]."""
    return np.stack(
        [read_array(job.upstream(f"{prefix}.sampling") / "samples.npy")[:num_images] for prefix in prefixes]
    )

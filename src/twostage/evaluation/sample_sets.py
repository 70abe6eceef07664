"""Verb `evaluation.sample_sets`: sets of samples of one dataset's latents side by side, by several priors.

Source: McKinney & Willcocks 2022, Tables 1 and 2.
"""

from dataclasses import dataclass, field
from typing import Any

from twostage.evaluation.sampled import Metrics, facts, metrics_of, on_one_clock, pace_of, require_alike, shown
from twostage.runtime.artifacts import write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import DENOISING

# What all sets must share for FID and seconds to be compared.
SHARED = ("evaluated_images", "real_images", "tokens_per_image", "num_codes", "batch_size", "clock")


@dataclass
class SampleSetsConfig:
    """Which sets are compared (inputs `set0.prior`, ...), and what the paper says of it."""

    experiment: str
    label: str  # the row of the experiment
    data: str
    tokenizer: str
    size: int  # side of the images, pixels
    sets: list[str]
    grid_images: int
    paper_says: str
    paper_rows: list[dict[str, Any]] = field(default_factory=list)  # label, and what is printed of it


def sample_sets(config: SampleSetsConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: the first samples of every set, uint8 [sets, grid_images, H, W, 3].

    Raises TwostageError if the sets differ in more than they are to, or seconds were measured in unlike ways.
    """
    prefixes = [f"set{at}" for at in range(len(config.sets))]
    sets = {label: _set(job, prefix) for label, prefix in zip(config.sets, prefixes, strict=True)}
    pace = metrics_of(job, "pace") if "pace" in job.inputs else None
    if pace is not None:
        sets = {label: _on_one_clock(row, pace) for label, row in sets.items()}
    require_alike(sets, SHARED)
    for timed in ("prior", "sampling"):
        records = [metrics_of(job, f"{prefix}.{timed}") for prefix in prefixes]
        require_alike(dict(zip(config.sets, records, strict=True)), ("threads",))
    metrics = {
        "experiment": config.experiment,
        "label": config.label,
        "scale": job.scale,
        "data": config.data,
        "tokenizer": config.tokenizer,
        "size": config.size,
        "sets": sets,
        **({} if pace is None else {"pace": pace_of(job)}),
        "paper_says": config.paper_says,
        "paper_rows": config.paper_rows,
    }
    write_array(job.folder / "grid.npy", shown(job, prefixes, config.grid_images))
    write_json(job.folder / "metrics.json", metrics)


def _set(job: Job, prefix: str) -> Metrics:
    """All that is known of one set; `network_evaluations` are those that an image took."""
    prior, sampling, samples = (metrics_of(job, f"{prefix}.{name}") for name in ("prior", "sampling", "samples"))
    row = facts(job, prefix) | {
        "architecture": prior["architecture"],
        "evaluated_images": samples["protocol"]["samples"]["images"],
        "denoising_nats_per_token": prior.get(DENOISING),
        "chain_steps": None,
        "proportion": None,
        "network_evaluations": float(sampling["tokens_per_image"]),
    }
    if prior["architecture"] != "sundae":
        return row
    chain = {"chain_steps": sampling["steps"], "proportion": sampling["proportion"]}
    chain |= {"network_evaluations": sampling["mean_steps_per_image"]}
    return row | chain


def _on_one_clock(row: Metrics, pace: Metrics) -> Metrics:
    """Training seconds by the pace of its two rivals, which are told apart by their architectures."""
    (role,) = (role for role, architecture in pace["architecture"].items() if architecture == row["architecture"])
    return on_one_clock(row, pace["seconds_per_step"][role])

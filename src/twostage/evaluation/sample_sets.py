"""Verb `evaluation.sample_sets`: sets of samples of one dataset's latents side by side, by several priors.

Source: McKinney & Willcocks 2022, Tables 1 and 2.
"""

from dataclasses import dataclass

from twostage.evaluation.sampled import Metrics, facts, metrics_of, on_one_clock, pace_of, require_alike, shown
from twostage.runtime.artifacts import write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import BOUND, DENOISING

# Inputs that may say what a step of a rival costs in steps of SUNDAE.
PACES = ("pace", "pace_absorbing")
# What all sets must share for FID and seconds to be compared.
SHARED = ("evaluated_images", "real_images", "tokens_per_image", "num_codes", "batch_size", "clock")


@dataclass
class SampleSetsConfig:
    """Which sets are compared (inputs `set0.prior`, ...)."""

    study: str
    label: str  # the row of the study
    data: str
    tokenizer: str
    size: int  # side of the images, pixels
    sets: list[str]
    grid_images: int


def sample_sets(config: SampleSetsConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: the first samples of every set, uint8 [sets, grid_images, H, W, 3].

    Raises TwostageError if the sets differ in more than they are to, or seconds were measured in unlike ways.
    """
    prefixes = [f"set{at}" for at in range(len(config.sets))]
    sets = {label: _set(job, prefix) for label, prefix in zip(config.sets, prefixes, strict=True)}
    paces = {name: metrics_of(job, name) for name in PACES if name in job.inputs}
    if paces:
        seconds = seconds_per_step(list(paces.values()))
        sets = {label: on_one_clock(row, seconds[row["architecture"]]) for label, row in sets.items()}
    require_alike(sets, SHARED)
    for timed in ("prior", "sampling"):
        records = [metrics_of(job, f"{prefix}.{timed}") for prefix in prefixes]
        require_alike(dict(zip(config.sets, records, strict=True)), ("threads",))
    metrics = {
        "study": config.study,
        "label": config.label,
        "scale": job.scale,
        "data": config.data,
        "tokenizer": config.tokenizer,
        "size": config.size,
        "sets": sets,
        **{name: pace_of(job, name) for name in paces},
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
        "bound_nats_per_token": prior.get(BOUND),
        "chain_steps": None,
        "proportion": None,
        "network_evaluations": float(sampling["tokens_per_image"]),
    }
    match prior["architecture"]:
        case "sundae" | "absorbing":
            drawn = {"chain_steps": sampling["steps"], "proportion": sampling.get("proportion")}
            return row | drawn | {"network_evaluations": sampling["mean_steps_per_image"]}
        case _:
            return row


def seconds_per_step(paces: list[Metrics]) -> dict[str, float]:
    """What a step costs, by architecture, on the clock of the first pace.

    All paces have one rival, SUNDAE, whose seconds differ between them with what else the machine did: those of the
    first hold, and every other prior's are theirs over its ratio.
    """
    rival = paces[0]["seconds_per_step"]["rival"]
    found = {pace["architecture"]["own"]: rival / pace["seconds_ratio"] for pace in paces}
    return {paces[0]["architecture"]["rival"]: rival} | found

"""Verb `evaluation.hourglass`: denoising priors that differ in one choice of the hourglass, paired by seed.

Source: McKinney & Willcocks 2022, Sec. 3.2.
"""

# S seeds, P evaluation points

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from twostage.evaluation.compare import Summary
from twostage.evaluation.sampled import require_alike
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import DENOISING

# What a controlled setting holds fixed, and the metrics of a run say.
FIXED = ("steps", "num_parameters", "learning_rate", "architecture", "clock")


@dataclass
class HourglassConfig:
    """What varies, whose values are compared with the first one, over which seeds, and what the paper says of it."""

    name: str
    label: str  # the row of the experiment
    data: str
    key: str
    values: list[str]
    seeds: list[int]
    paper_says: str


def hourglass(config: HourglassConfig, job: Job) -> None:
    """Writes metrics.json: per value its final scores (`scores`: seed by seed), seconds a step, curve, and difference
    to the first value.

    Raises TwostageError if the runs differ in more than the value and the seed.
    """
    runs = {value: [_metrics(job, value, seed) for seed in config.seeds] for value in config.values}
    fixed = _fixed(runs, config.seeds)
    latents = read_json(job.upstream("latents") / "metadata.json")
    reference = _scores(runs[config.values[0]])
    metrics = {
        "experiment": config.name,
        "label": config.label,
        "scale": job.scale,
        "data": config.data,
        "grid": latents["grid"],
        "key": config.key,
        "seeds": config.seeds,
        **fixed,
        "values": {
            value: {
                "denoising_nats_per_token": spread(_scores(runs[value])),
                "scores": _scores(runs[value]).tolist(),
                "difference_to_first": None if value == config.values[0] else spread(_scores(runs[value]) - reference),
                "seconds_per_step": spread(np.array([run["seconds_per_step"] for run in runs[value]])),
                "curve": _curve(job, value, config.seeds),
            }
            for value in config.values
        },
        "paper_says": config.paper_says,
    }
    write_json(job.folder / "metrics.json", metrics)


def spread(value_S: np.ndarray) -> dict[str, float | None]:
    """Mean, standard deviation and 95 % interval over seeds; of one seed, the mean alone."""
    if len(value_S) < 2:
        return {"mean": float(value_S[0]), "std": None, "ci95_low": None, "ci95_high": None}
    return asdict(Summary.of(value_S.tolist()))


def _metrics(job: Job, value: str, seed: int) -> dict[str, Any]:
    return read_json(job.upstream(f"{value}.seed{seed}") / "metrics.json")


def _scores(runs: list[dict[str, Any]]) -> np.ndarray:
    return np.array([run[DENOISING] for run in runs])


def _fixed(runs: dict[str, list[dict[str, Any]]], seeds: list[int]) -> dict[str, Any]:
    """What all runs share. Raises TwostageError, naming the first difference, if they do not."""
    named = {
        f"{value}, seed {seed}": run for value, found in runs.items() for seed, run in zip(seeds, found, strict=True)
    }
    require_alike(named, (*FIXED, "threads"))
    expected = next(iter(named.values()))
    return {key: expected[key] for key in (*FIXED, "learning_rate_at_edge")}


def _curve(job: Job, value: str, seeds: list[int]) -> dict[str, list[float]]:
    """Mean score over the seeds at every evaluation point."""
    curves = [read_csv(job.upstream(f"{value}.seed{seed}") / "curve.csv") for seed in seeds]
    score_SP = np.array([[float(point[DENOISING]) for point in curve] for curve in curves])
    return {"step": [float(point["step"]) for point in curves[0]], "mean": score_SP.mean(axis=0).tolist()}

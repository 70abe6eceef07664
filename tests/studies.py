"""Runs of a study as stored files, and the job that collects them, for tests of its table and its figures."""

from pathlib import Path

import numpy as np

from twostage.evaluation.collect import CollectConfig, Point, collect
from twostage.runtime.artifacts import write_array, write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL, on

SIDE = 4


def point(row: str = "IN", seed: int = 0, **values: object) -> Point:
    """One run."""
    return Point(row, values, seed)


def write_prior(folder: Path, nll: float, **changes: object) -> dict[str, str]:
    """A prior whose NLL falls by 0.1 a step to what it was one step before its end."""
    metrics = {"steps": 10, "num_parameters": 1000, "learning_rate": 0.002, "seconds_per_step": 0.1, NLL: nll}
    write_json(folder / "prior/metrics.json", metrics | changes)
    curve = [{"step": step, NLL: nll + (11 - step) / 10, on("train", NLL): nll - 1} for step in (0, 10)]
    # Training is measured between evaluations too.
    write_csv(folder / "prior/curve.csv", [*curve[:1], {"step": 5, NLL: "", on("train", NLL): nll}, *curve[1:]])
    return {"prior": str(folder / "prior")}


def write_samples(folder: Path, fid: float, shade: int = 0, num_images: int = 6) -> dict[str, str]:
    """Samples of one shade, and their FID."""
    write_array(folder / "sampling/samples.npy", np.full((num_images, SIDE, SIDE, 3), shade, np.uint8))
    write_array(folder / "sampling/index.npy", np.zeros((num_images, 2, 2), np.uint16))
    write_json(folder / "sampling/metrics.json", {"seconds_per_image": 0.5, "mean_steps_per_image": 9.5})
    write_json(folder / "samples/metrics.json", {"fid": fid})
    return {role: str(folder / role) for role in ("sampling", "samples")}


def write_reconstructions(folder: Path, lpips: float, shade: int, num_images: int = 6) -> dict[str, str]:
    """Black images, and their reconstructions in one shade."""
    grid_KNHWC = np.zeros((2, num_images, SIDE, SIDE, 3), np.uint8)
    grid_KNHWC[1] = shade
    write_array(folder / "reconstruct/grid.npy", grid_KNHWC)
    write_json(folder / "reconstruct/metrics.json", {"lpips_vgg": lpips})
    return {"reconstruct": str(folder / "reconstruct")}


def collected(folder: Path, runs: dict[int, dict[str, str]], config: CollectConfig, **inputs: str) -> Job:
    """The job that collected `runs`: position of a point -> folders by their roles."""
    files = ["table.csv", "metrics.json"]
    files += (["grid.npy"] if config.pictures else []) + (["film.npy"] if config.films else [])
    named = {f"{at}.{role}": path for at, roles in runs.items() for role, path in roles.items()}
    made = Job("evaluation", "collect", config.study, "smoke", {}, named | inputs, str(folder / "collected"), files)
    collect(config, made)
    return made

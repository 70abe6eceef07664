"""Verb `evaluation.collect`: the long table of a study, and its statistics over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.evaluation.statistics import paired, spread, word
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job

# What captions tell of the runs, where all of them agree in it.
TOLD = ("steps", "num_parameters", "learning_rate", "learning_rate_at_edge", "clock", "threads")
Line = dict[str, Any]


@dataclass
class Point:
    """One run of a study: its row, the value of each varied key (by the key's short name), and its seed."""

    row: str
    values: dict[str, Any]
    seed: int


@dataclass
class CollectConfig:
    """Which runs a study has (inputs "0.prior", "0.samples", ... by their position), and what is measured of them."""

    study: str
    points: list[Point]
    quantities: list[str]
    compare_to: dict[str, Any] | None = None  # values of the varied keys of the run that others are compared with
    equal: list[str] = field(default_factory=list)  # what the metrics of a row's priors must agree in
    pictures: int = 0  # samples of each run to keep for figures


def collect(config: CollectConfig, job: Job) -> None:
    """Writes table.csv, a line for each number (study, row, varied keys, seed, step, quantity, value, unit, job), and
    metrics.json: what all runs share, and mean, spread and paired difference of every quantity over the seeds.

    With `pictures`, grid.npy as well: of every run the first samples, or else reconstructions below their originals,
    uint8 [strips, pictures, H, W, C], whose labels are in metrics.json.
    Raises TwostageError if the runs of a row differ in what is to be equal.
    """
    priors = _priors(config, job)
    _require_equal(config, job, priors)
    lines = [line for at, point in enumerate(config.points) for line in _lines(config, job, at, point)]
    write_csv(job.folder / "table.csv", lines)
    labels: list[str] = []
    if config.pictures:
        labels, strips = _pictures(config, job)
        write_array(job.folder / "grid.npy", np.stack(strips))
    metrics = {
        "study": config.study,
        "scale": job.scale,
        "num_seeds": len({point.seed for point in config.points}),
        "rows": {row: _latents(job, row) for row in dict.fromkeys(point.row for point in config.points)},
        "told": _told(list(priors.values())),
        "statistics": _statistics(config, lines),
        "strips": labels,
    }
    write_json(job.folder / "metrics.json", metrics)


def _lines(config: CollectConfig, job: Job, at: int, point: Point) -> Iterator[Line]:
    about = {"study": config.study, "row": point.row, "source": "ours", **point.values, "seed": point.seed}
    for quantity in config.quantities:
        asked = QUANTITIES[quantity]
        folder = f"{at}.{quantity}" if asked.measure is not None else f"{at}.{asked.role}"
        if folder not in job.inputs:
            continue
        line = about | {"quantity": quantity, "unit": asked.unit, "job": job.inputs[folder]}
        curve = read_csv(job.upstream(folder) / "curve.csv") if asked.curve else []
        points = [(int(float(row["step"])), row[asked.curve]) for row in curve if row[asked.curve]]
        yield from (line | {"step": step, "value": float(value)} for step, value in points)
        if asked.key or asked.measure is not None:
            metrics = read_json(job.upstream(folder) / "metrics.json")
            # The end of a run, which the last point of its curve need not be.
            yield line | {"step": "", "value": float(metrics[asked.key or quantity])}
        elif points:
            yield line | {"step": "", "value": float(points[-1][1])}


def _statistics(config: CollectConfig, lines: list[Line]) -> list[dict[str, Any]]:
    """For each row, value of the varied keys and quantity: `spread` of the final numbers, and the `difference`."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    values: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in lines:
        if line["step"] == "":
            own = {key: line[key] for key in config.points[0].values}
            place = _place(line["row"], own, line["quantity"])
            values[place] = own
            found.setdefault(place, {})[line["seed"]] = line["value"]
    statistics = []
    for place, by_seed in found.items():
        row, *_, quantity = place
        to = None if config.compare_to is None else _place(row, config.compare_to, quantity)
        difference = None if to is None or to == place else paired(by_seed, found.get(to, {}))
        statistics.append(
            {
                "row": row,
                "values": values[place],
                "quantity": quantity,
                "num_seeds": len(by_seed),
                **spread(list(by_seed.values())),
                "difference": difference,
            }
        )
    return statistics


def _place(row: str, values: Mapping[str, Any], quantity: str) -> tuple[str, ...]:
    """Where a number belongs. Values of keys may be lists, so they stand as words."""
    return (row, *map(word, values.values()), quantity)


def _priors(config: CollectConfig, job: Job) -> dict[int, dict[str, Any]]:
    """The metrics of every run's prior, by the run's position."""
    return {
        at: read_json(job.upstream(f"{at}.prior") / "metrics.json")
        for at in range(len(config.points))
        if f"{at}.prior" in job.inputs
    }


def _require_equal(config: CollectConfig, job: Job, priors: Mapping[int, dict[str, Any]]) -> None:
    """Within a row: other data have sweeps, and so rates, of their own."""
    for key in config.equal:
        first: dict[str, int] = {}
        for at, point in enumerate(config.points):
            reference = first.setdefault(point.row, at)
            if priors[at][key] != priors[reference][key]:
                raise TwostageError(
                    f"{config.study}: {job.inputs[f'{at}.prior']} has {key} {priors[at][key]}, and "
                    f"{job.inputs[f'{reference}.prior']} has {priors[reference][key]}; delete the folder that is wrong "
                    "and run again"
                )


def _told(priors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all priors' metrics agree in."""
    if not priors:
        return {}
    first = priors[0]
    return {key: first[key] for key in TOLD if key in first and all(one.get(key) == first[key] for one in priors)}


def _latents(job: Job, row: str) -> dict[str, Any]:
    """What the captions tell of a row's codes; nothing of a row without any."""
    if f"{row}.latents" not in job.inputs:
        return {}
    latents = read_json(job.upstream(f"{row}.latents") / "metadata.json")
    return {"grid": latents["grid"], "unigram_entropy_nats": latents["splits"]["validation"]["unigram_entropy_nats"]}


def _pictures(config: CollectConfig, job: Job) -> tuple[list[str], list[np.ndarray]]:
    """Labels and strips of pictures: the samples of every run, or the originals and every run's reconstructions."""
    labels, strips = [], []
    for at, point in enumerate(config.points):
        if f"{at}.sampling" in job.inputs:
            strips.append(read_array(job.upstream(f"{at}.sampling") / "samples.npy")[: config.pictures])
        elif f"{at}.reconstruct" in job.inputs:
            original_NHWC, output_NHWC = read_array(job.upstream(f"{at}.reconstruct") / "grid.npy")
            if not strips:
                labels.append("original")
                strips.append(original_NHWC[: config.pictures])
            strips.append(output_NHWC[: config.pictures])
        else:
            continue
        several = len({each.row for each in config.points}) > 1 or not point.values
        labels.append(" ".join([*([point.row] if several else []), *map(word, point.values.values())]))
    return labels, strips

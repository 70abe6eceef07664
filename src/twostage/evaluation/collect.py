"""Verb `evaluation.collect`: the long table of a study, and its statistics over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.evaluation.statistics import holm, paired, spread
from twostage.evaluation.words import word
from twostage.latents.orderings import ordering
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job

# What captions tell of the runs, where all of them agree in it.
TOLD = ("steps", "num_parameters", "learning_rate", "learning_rate_at_edge", "clock", "threads")
Line = dict[str, Any]
GRID_SIDE = 4  # Fig. 34 of Esser et al. 2021 shows every order on a 4x4 grid


@dataclass
class Point:
    """One run of a study: its row, the value of each varied key (by the key's short name), and its seed.

    With baselines `model` is one of the values; images that no prior drew have no seed.
    """

    row: str
    values: dict[str, Any]
    seed: int | None


@dataclass
class CollectConfig:
    """Which runs a study has (inputs "0.prior", "0.samples", ... by their position), and what is measured of them."""

    study: str
    points: list[Point]
    quantities: list[str]
    compare_to: dict[str, Any] | None = None  # values of the varied keys of the run that others are compared with
    equal: list[str] = field(default_factory=list)  # what the metrics of a row's priors must agree in
    pictures: int = 0  # samples of each run to keep for figures
    films: int = 0  # samples of each run whose chains to keep
    orderings: list[str] = field(default_factory=list)  # whose paths a figure shows


def collect(config: CollectConfig, job: Job) -> None:
    """Writes table.csv, a line for each number (study, row, varied keys, seed, step, quantity, value, unit, job), and
    metrics.json: what all runs share, and mean, spread and paired difference of every quantity over the seeds.

    With `pictures`, grid.npy as well: of every run the first samples, or else reconstructions below their originals,
    or samples below their conditions, uint8 [strips, pictures, H, W, C], whose labels are in metrics.json.
    With `films`, film.npy: of every run the states of the first chains, decoded, one run after another, uint8
    [states, films, H, W, C]; metrics.json says of which run and after which steps.
    Raises TwostageError if the runs of a row differ in what is to be equal.
    """
    priors = _priors(config, job)
    _require_equal(config, job, priors)
    lines = [line for at, point in enumerate(config.points) for line in _lines(config, job, at, point)]
    write_csv(job.folder / "table.csv", lines)
    labels: list[str] = []
    names: list[str] = []
    if config.pictures:
        labels, strips, names = _pictures(config, job)
        write_array(job.folder / "grid.npy", np.stack(strips))
    metrics = {
        "study": config.study,
        "scale": job.scale,
        "num_seeds": len({point.seed for point in config.points} - {None}),
        "rows": {row: _latents(job, row) for row in dict.fromkeys(point.row for point in config.points)},
        "told": _told(list(priors.values())),
        "seeds_of": "priors" if priors else "tokenizers",
        "statistics": _statistics(config, lines),
        "strips": labels,
        "orders": {name: ordering(name, GRID_SIDE, GRID_SIDE).tolist() for name in config.orderings},
    }
    if config.films:
        metrics["films"] = _films(config, job)
    if conditions := _conditions(config, job):
        metrics |= {"conditions": conditions, "names": names}
    write_json(job.folder / "metrics.json", metrics)


def _lines(config: CollectConfig, job: Job, at: int, point: Point) -> Iterator[Line]:
    values = {key: word(value) if isinstance(value, list | dict) else value for key, value in point.values.items()}
    about = {"study": config.study, "row": point.row, "source": "ours", **values, "seed": point.seed}
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
            if asked.role == "agreement" and asked.key and metrics.get(asked.key) is None:
                continue  # nothing that this baseline has
            # The end of a run, which the last point of its curve need not be.
            yield line | {"step": "", "value": float(metrics[asked.key or quantity])}
        elif points:
            yield line | {"step": "", "value": float(points[-1][1])}


def _statistics(config: CollectConfig, lines: list[Line]) -> list[dict[str, Any]]:
    """For each row, value of the varied keys and quantity: `spread` of the final numbers, and the `difference`, whose
    `p_holm` is corrected for all differences of the quantity.
    """
    found: dict[tuple[str, ...], dict[int | None, float]] = {}
    values: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in lines:
        if line["step"] == "":
            own = {key: line[key] for key in config.points[0].values}
            place = _place(line["row"], own, line["quantity"])
            values[place] = own
            found.setdefault(place, {})[line["seed"]] = line["value"]
    statistics: list[dict[str, Any]] = []
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
    for name in config.quantities:
        compared = [one["difference"] for one in statistics if one["quantity"] == name and one["difference"]]
        for difference, p in zip(compared, holm([each["p"] for each in compared]), strict=True):
            difference["p_holm"] = p
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
        for at in priors:
            reference = first.setdefault(config.points[at].row, at)
            if priors[at][key] != priors[reference][key]:
                raise TwostageError(
                    f"{config.study}: {job.inputs[f'{at}.prior']} has {key} {priors[at][key]}, and "
                    f"{job.inputs[f'{reference}.prior']} has {priors[reference][key]}; delete the folder that is wrong "
                    "and run again"
                )


def _told(priors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all priors' metrics agree in."""
    alike = _alike(priors)
    return {key: alike[key] for key in TOLD if key in alike}


def _alike(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = several or [{}]
    return {key: value for key, value in first.items() if all(one.get(key) == value for one in others)}


def _conditions(config: CollectConfig, job: Job) -> dict[str, Any]:
    """What is told of the conditions, and of how samples were drawn under them; nothing where there are none."""
    own = [at for at, point in enumerate(config.points) if point.values.get("model", "conditional") == "conditional"]
    told = [read_json(job.upstream(f"{at}.agreement") / "metrics.json")["told"]
            for at in own if f"{at}.agreement" in job.inputs]  # fmt: skip
    real = [read_json(job.upstream(f"{at}.samples") / "metrics.json")["protocol"]["real"]["images"]
            for at in own if told and f"{at}.samples" in job.inputs]  # fmt: skip
    return _alike(told) | ({"real_images": real[0]} if len(set(real)) == 1 else {})


def _latents(job: Job, row: str) -> dict[str, Any]:
    """What the captions tell of a row's codes; nothing of a row without any."""
    if f"{row}.latents" not in job.inputs:
        return {}
    latents = read_json(job.upstream(f"{row}.latents") / "metadata.json")
    return {"grid": latents["grid"], "unigram_entropy_nats": latents["splits"]["validation"]["unigram_entropy_nats"]}


def _films(config: CollectConfig, job: Job) -> list[dict[str, Any]]:
    """Writes film.npy; returns the label of each run and the steps after which its states are shown."""
    films, found = [], []
    for at in range(len(config.points)):
        if f"{at}.sampling" in job.inputs:
            folder = job.upstream(f"{at}.sampling")
            films.append(read_array(folder / "film.npy")[:, : config.films])
            found.append({"label": _label(config, at), "steps": read_json(folder / "metrics.json")["film_steps"]})
    write_array(job.folder / "film.npy", np.concatenate(films))
    return found


def _label(config: CollectConfig, at: int) -> str:
    """The row and the values of a run, as far as they tell it from the others."""
    point = config.points[at]
    several = len({each.row for each in config.points}) > 1 or not point.values
    return " ".join([*([point.row] if several else []), *map(word, point.values.values())])


def _pictures(config: CollectConfig, job: Job) -> tuple[list[str], list[np.ndarray], list[str]]:
    """Labels, strips and headings of pictures: the samples of every run, or the originals and every run's
    reconstructions, or conditions, originals and samples of every prior.
    """
    labels: list[str] = []
    strips: list[np.ndarray] = []
    names: list[str] = []
    for at in range(len(config.points)):
        label = _label(config, at)
        if f"{at}.pictures" in job.inputs:
            folder = job.upstream(f"{at}.pictures")
            metrics = read_json(folder / "metrics.json")
            strips += list(read_array(folder / "grid.npy"))
            labels += [label if each == "samples" else each for each in metrics["strips"]]
            names = names or metrics["names"]
        elif f"{at}.agreement" in job.inputs:
            continue
        elif f"{at}.sampling" in job.inputs:
            strips.append(read_array(job.upstream(f"{at}.sampling") / "samples.npy")[: config.pictures])
            labels.append(label)
        elif f"{at}.reconstruct" in job.inputs:
            original_NHWC, output_NHWC = read_array(job.upstream(f"{at}.reconstruct") / "grid.npy")
            if not strips:
                labels.append("original")
                strips.append(original_NHWC[: config.pictures])
            strips.append(output_NHWC[: config.pictures])
            labels.append(label)
    return labels, strips, names

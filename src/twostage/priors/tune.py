"""Verb `priors.tune`: a learning-rate sweep, evaluated on images held out of the training split."""

import dataclasses
import logging
import math
import shutil
from typing import Any

from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Latents
from twostage.priors.model import build
from twostage.priors.task import PriorTask, new_task
from twostage.priors.train import latents_of
from twostage.runtime import launch, training
from twostage.runtime.artifacts import write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import on

log = logging.getLogger(__name__)


def tune(config: PriorConfig, job: Job) -> None:
    """Trains `config.sweep.steps` with each learning rate; writes `sweep.csv`, and `metrics.json` with the best rate.

    Raises TwostageError if no learning rate is given, or if the loss stays finite with none.
    """
    if config.sweep is None or not config.sweep.learning_rates:
        raise TwostageError("priors.tune needs learning rates to try; set priors.sweep.learning_rates")
    latents, sweep = latents_of(job), config.sweep
    rows = []
    for rate in sweep.learning_rates:
        task = _task(config, latents, rate, sweep.steps)
        rows.append(_run(task, job))
    metrics = choose(rows, on("tune", task.score))
    if not launch.is_first():
        return
    if metrics["at_edge"]:
        log.warning(
            "the best learning rate %g is at the edge of the sweep %s; widen priors.sweep.learning_rates",
            metrics["learning_rate"],
            sweep.learning_rates,
        )
    write_csv(job.folder / "sweep.csv", rows)
    write_json(job.folder / "metrics.json", metrics)
    shutil.rmtree(job.scratch)


def _task(config: PriorConfig, latents: Latents, learning_rate: float, steps: int) -> PriorTask:
    """Trains a newly initialised prior for `steps` and evaluates it on the tune split."""
    budget = dataclasses.replace(config.loop, steps=steps, evaluate_every=steps)
    trial = dataclasses.replace(config, loop=budget)
    training.seed_everything(config.loop.seed)
    return new_task(build(config, latents.tokens), trial, learning_rate, latents.split("train"), latents.split("tune"))


def _run(task: PriorTask, job: Job) -> dict[str, Any]:
    """One row of the sweep. The score is empty if the run diverged."""
    rate, budget, score = task.learning_rate, task.config.loop, on("tune", task.score)
    row: dict[str, Any] = {"learning_rate": rate, "steps": budget.steps, score: None}
    try:
        loop = training.Loop(task, budget, job.scratch / f"{rate:g}", f"{job.variant} learning rate {rate:g}")
        loop.run(lambda loop: loop.step >= budget.steps)
    except training.Diverged as error:
        log.warning("%s", error)
        return row
    return {**row, score: loop.curve[-1][task.score]}


def choose(rows: list[dict[str, Any]], score: str) -> dict[str, Any]:
    """The learning rate with the lowest score, and whether it is the smallest or largest one tried.

    Raises TwostageError if no run stayed finite.
    """
    finite = [row for row in rows if row[score] is not None and math.isfinite(row[score])]
    if not finite:
        raise TwostageError(
            f"the loss diverged with all learning rates {[row['learning_rate'] for row in rows]}; "
            "set priors.sweep.learning_rates to smaller ones"
        )
    best = min(finite, key=lambda row: row[score])
    rates = [row["learning_rate"] for row in rows]
    edge = len(rates) > 1 and best["learning_rate"] in (min(rates), max(rates))
    return {**best, "at_edge": edge, "learning_rates": rates}

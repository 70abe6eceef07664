"""Verb `priors.train`: trains one prior on one set of latents."""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch

from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import Latents, open_latents
from twostage.priors.model import build, num_parameters, store, trained_format
from twostage.priors.task import PriorTask, new_task
from twostage.runtime import launch, training
from twostage.runtime.artifacts import read_json, write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import BOUND, NLL
from twostage.runtime.training import Loop, read_checkpoint, write_checkpoint

log = logging.getLogger(__name__)

# The weights to store, kept in the scratch folder while training continues.
KEPT = "kept.pt"


def train(config: PriorConfig, job: Job) -> None:
    """Trains for `loop.steps`, and longer if a rival's training time is not yet reached. Writes weights, curve and
    metrics.

    The weights and all numbers in `metrics.json` belong to step `loop.steps`. If the job has the input `pace`, training
    continues until it has taken as long as the rival takes for the same number of steps; this only extends the curve.
    With `early_stopping`, weights and numbers belong to the lowest held-out score, and training ends soon after it.
    Raises TwostageError if there is no learning rate, or if the loss becomes NaN.
    """
    goes_on_to = steps_at_equal_time(job, config.loop.steps).latest if "pace" in job.inputs else 0
    run(config, job, _learning_rate(config, job), goes_on_to)


def run(config: PriorConfig, job: Job, rate: tuple[float, bool | None], goes_on_to: int = 0) -> None:
    """The work of `train` for a given learning rate; also records whether the rate is at the edge of its sweep.

    The curve ends at the first evaluation point at or after step `goes_on_to`.
    """
    training.seed_everything(config.loop.seed)
    latents = latents_of(job)
    task = new_task(build(config, latents.tokens), config, rate[0], latents.split("train"), latents.split("validation"))
    loop = Loop(task, config.loop, job.scratch, job.variant)
    if config.early_stopping is None:
        steps = _train_to_end(config, loop, task, goes_on_to)
    else:
        steps = _train_to_best(config, loop, task, job)
    if launch.is_first():
        _write(config, job, loop, task, latents, steps, rate)
    loop.discard()


def _write(
    config: PriorConfig,
    job: Job,
    loop: Loop,
    task: PriorTask,
    latents: Latents,
    steps: int,
    rate: tuple[float, bool | None],
) -> None:
    """The files of `train`; numbers and weights belong to `steps`."""
    learning_rate, at_edge = rate
    weights = read_checkpoint(loop.scratch / KEPT)
    store(job.folder, trained_format(config, latents.tokens), weights)
    write_csv(job.folder / "curve.csv", [named(row, task.loss_name) for row in loop.curve])
    metrics = _metrics(config, loop, task.score, latents, num_parameters(task.model), steps)
    write_json(
        job.folder / "metrics.json", metrics | {"learning_rate": learning_rate, "learning_rate_at_edge": at_edge}
    )


@dataclass(frozen=True)
class EqualTime:
    """Steps that take as long as a rival's: the last one within its time, and the first one certainly beyond it."""

    within: int
    latest: int  # at the upper end of the ratio's interval


def steps_at_equal_time(job: Job, rival_steps: int) -> EqualTime:
    """Steps of the job's prior in the time of `rival_steps` of its rival, from the input `pace`."""
    pace = read_json(job.upstream("pace") / "metrics.json")
    ratio, high = float(pace["seconds_ratio"]), float(pace["seconds_ratio_ci95_high"])
    return EqualTime(math.floor(rival_steps * ratio), math.ceil(rival_steps * high))


def _train_to_end(config: PriorConfig, loop: Loop, task: PriorTask, goes_on_to: int) -> int:
    """Trains and keeps the weights of step `loop.steps`; returns this step."""
    loop.run(lambda loop: loop.step >= config.loop.steps)
    _keep_weights(loop, task)
    loop.run(lambda loop: loop.step >= max(config.loop.steps, goes_on_to))
    return config.loop.steps


def _train_to_best(config: PriorConfig, loop: Loop, task: PriorTask, job: Job) -> int:
    """Trains and keeps the weights of the lowest held-out score; returns their step.

    Ends at `loop.steps`, or `early_stopping` evaluations after the best. Raises TwostageError for a run that is matched
    in time, because its number of steps would not be equal.
    """
    patience = config.early_stopping or 0
    if patience < 1:
        raise TwostageError(f"priors.early_stopping={patience} must be at least 1 evaluation, or null")
    if "pace" in job.inputs:
        raise TwostageError("a prior that is compared at equal steps cannot stop early; set priors.early_stopping=null")

    def ends(loop: Loop) -> bool:
        scores = [row[task.score] for row in loop.curve]
        best = scores.index(min(scores))
        if best == len(scores) - 1:
            write_checkpoint(loop.scratch / KEPT, task.weights())
        return loop.step >= config.loop.steps or len(scores) - 1 - best >= patience

    loop.run(ends)
    return int(min(loop.curve, key=lambda row: row[task.score])["step"])


def latents_of(job: Job) -> Latents:
    """The job's latents, with the latents of its condition if it has one."""
    return open_latents(job.upstream("latents"), job.upstream("condition") if "condition" in job.inputs else None)


def _learning_rate(config: PriorConfig, job: Job) -> tuple[float, bool | None]:
    """The learning rate, and whether it is the smallest or largest of its sweep (None without a sweep)."""
    if config.learning_rate is not None:
        return config.learning_rate, None
    if "tune" not in job.inputs:
        raise TwostageError("no learning rate and no sweep to take it from; set priors.learning_rate")
    chosen = read_json(job.upstream("tune") / "metrics.json")
    return float(chosen["learning_rate"]), bool(chosen["at_edge"])


def _keep_weights(loop: Loop, task: PriorTask) -> None:
    """Keeps the weights of step `loop.steps`. A run that resumes after this step must find them."""
    path = loop.scratch / KEPT
    if loop.step == loop.config.steps:
        write_checkpoint(path, task.weights())
    if launch.is_first() and not path.exists():
        raise TwostageError(
            f"{loop.scratch} is at step {loop.step}, but lacks the weights of step {loop.config.steps}; "
            "delete that folder and run again"
        )


def named(row: dict[str, float], loss_name: str) -> dict[str, float]:
    """A row of the loop's curve, with a specific name for its loss."""
    names = {"loss": loss_name}
    return {names.get(name, name): value for name, value in row.items()}


def _metrics(
    config: PriorConfig, loop: Loop, score: str, latents: Latents, parameters: int, steps: int
) -> dict[str, Any]:
    at_steps = next(row for row in loop.curve if row["step"] == steps)
    entropy = latents.unigram_entropy_nats["validation"]
    # Only a likelihood, or a bound of it, can be compared with the entropy of single tokens.
    names = {NLL: "nats_below_unigram_entropy", BOUND: "bound_nats_below_unigram_entropy"}
    below = {names[score]: entropy - at_steps[score]} if score in names else {}
    return {
        score: at_steps[score],
        "unigram_entropy_nats": entropy,
        **below,
        "steps": steps,
        "train_seconds": at_steps["train_seconds"],
        "seconds_per_step": at_steps["train_seconds"] / max(steps, 1),
        "last_step": loop.step,
        "num_parameters": parameters,
        "architecture": config.architecture,
        "ordering": config.ordering,
        "seed": config.loop.seed,
        **how_timed(),
    }


def how_timed() -> dict[str, Any]:
    """How `training_clock` measures: the number of `threads`, and the name of the `clock`."""
    clock = "process CPU time" if training.device().type == "cpu" else "wall time on an own device"
    return {"threads": torch.get_num_threads(), "clock": clock}

"""Verb `priors.timed`: one prior, trained for as long as another one was; its weights are those at the end.

`priors.train` stores the weights of a number of steps; here the seconds decide, as where tokens cost unlike amounts.
Source: Esser et al. 2021, Sec. 4.3: "given a fixed computational budget".
"""

import logging
from collections.abc import Callable
from typing import Any

import torch

from twostage import cli, training
from twostage.artifacts import read_json, write_csv, write_json
from twostage.configs import PriorConfig
from twostage.errors import TwostageError
from twostage.jobs import Job
from twostage.priors.model import build, num_parameters, store, trained_format
from twostage.priors.task import new_task
from twostage.priors.train import latents_of, named
from twostage.training import Loop

log = logging.getLogger(__name__)


def timed(config: PriorConfig, job: Job) -> None:
    """Trains to the last evaluation point within the rival's training time; writes weights, curve and metrics.

    The rate is that of the input `tune`, a sweep, if there is one, else that of the rival.
    Raises TwostageError if the loss becomes NaN, or the rival took no time at all.
    """
    if config.early_stopping is not None:
        raise TwostageError("a prior that is matched in time cannot stop early; set priors.early_stopping=null")
    training.seed_everything(config.loop.seed)
    latents = latents_of(job)
    rival = read_json(job.upstream("rival") / "metrics.json")
    budget, (learning_rate, at_edge) = float(rival["train_seconds"]), _learning_rate(job, rival)
    model = build(config, latents.tokens)
    task = new_task(model, config, learning_rate, latents.split("train"), latents.split("validation"))
    loop = Loop(task, config.loop, job.scratch, job.variant)
    loop.run(within(budget, config.loop.evaluate_every))
    if loop.step == 0:
        raise TwostageError(f"{job.inputs['rival']} trained for {budget} s, too short to be matched; train it longer")
    store(job.folder, trained_format(config, latents.tokens), model.state_dict())
    write_csv(job.folder / "curve.csv", [named(row, task.score) for row in loop.curve])
    metrics = {
        task.score: loop.curve[-1][task.score],
        "unigram_entropy_nats": latents.unigram_entropy_nats["validation"],
        "steps": loop.step,
        "train_seconds": loop.train_seconds,
        "budget_seconds": budget,
        "seconds_per_step": loop.train_seconds / loop.step,
        "num_parameters": num_parameters(model),
        "architecture": config.architecture,
        "ordering": config.ordering,
        "seed": config.loop.seed,
        "learning_rate": learning_rate,
        "learning_rate_at_edge": at_edge,
        "threads": torch.get_num_threads(),
    }
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %d steps in %.1f of %.1f s", job.variant, loop.step, loop.train_seconds, budget)
    loop.discard()


def _learning_rate(job: Job, rival: dict[str, Any]) -> tuple[float, bool | None]:
    """The rate, and whether it is the smallest or largest of its sweep."""
    if "tune" not in job.inputs:
        return float(rival["learning_rate"]), rival["learning_rate_at_edge"]
    chosen = read_json(job.upstream("tune") / "metrics.json")
    return float(chosen["learning_rate"]), bool(chosen["at_edge"])


def within(budget_seconds: float, evaluate_every: int) -> Callable[[Loop], bool]:
    """Whether a run that stands at an evaluation point must end there: the next would lie beyond the budget.

    A run of any length is one evaluation point long at least.
    """

    def ends(loop: Loop) -> bool:
        if loop.step == 0:
            return budget_seconds <= 0
        return loop.train_seconds * (1 + evaluate_every / loop.step) > budget_seconds

    return ends


def main() -> None:
    """Command line of the verb."""
    cli.run("priors.timed", PriorConfig, timed)


if __name__ == "__main__":
    main()

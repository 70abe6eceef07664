"""Verb `priors.timed`: one prior, trained for as long as another one was; its weights are those at the end.

It is `priors.train` with a number of steps that the cost of a step decides, as where tokens cost unlike amounts.
Source: Esser et al. 2021, Sec. 4.3: "given a fixed computational budget".
"""

import dataclasses
import logging
from typing import Any

from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.priors.train import run, steps_at_equal_time
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)


def timed(config: PriorConfig, job: Job) -> None:
    """Trains as many whole steps as take no longer than the rival's; writes weights, curve and metrics.

    Steps are compared by the input `pace`. The rate is that of the input `tune`, a sweep, if there is one, else that of
    the rival. Raises TwostageError if the loss becomes NaN, or one step takes longer than all of the rival's.
    """
    if config.early_stopping is not None:
        raise TwostageError("a prior that is matched in time cannot stop early; set priors.early_stopping=null")
    rival = read_json(job.upstream("rival") / "metrics.json")
    steps = steps_at_equal_time(job, rival["steps"]).within
    if steps < 1:
        raise TwostageError(
            f"{job.inputs['rival']} trained {rival['steps']} steps, less time than one step takes here; train it longer"
        )
    log.info("%s: %d steps take as long as %d of its rival", job.variant, steps, rival["steps"])
    loop = dataclasses.replace(config.loop, steps=steps)
    run(dataclasses.replace(config, loop=loop), job, _learning_rate(job, rival))


def _learning_rate(job: Job, rival: dict[str, Any]) -> tuple[float, bool | None]:
    """The rate, and whether it is the smallest or largest of its sweep."""
    if "tune" not in job.inputs:
        return float(rival["learning_rate"]), rival["learning_rate_at_edge"]
    chosen = read_json(job.upstream("tune") / "metrics.json")
    return float(chosen["learning_rate"]), bool(chosen["at_edge"])

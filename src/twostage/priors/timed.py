"""Verb `priors.timed`: trains one prior for as long as another one, and keeps the last weights.

Like `priors.train`, but the number of steps follows from the cost of a step, which differs between kinds of tokens.
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
    """Trains as many whole steps as fit into the rival's training time; writes weights, curve and metrics.

    The input `pace` says how long steps take. The learning rate comes from the input `tune`, a sweep, or else from the
    rival. Raises TwostageError if the loss becomes NaN, or if one step takes longer than the rival's whole training.
    """
    if config.early_stopping is not None:
        raise TwostageError("a prior that is matched in time cannot stop early; set priors.early_stopping=null")
    rival = read_json(job.upstream("rival") / "metrics.json")
    steps = steps_at_equal_time(job, rival["steps"]).within
    if steps < 1:
        raise TwostageError(
            f"{job.inputs['rival']} trained {rival['steps']} steps, faster than one step here; train it longer"
        )
    log.info("%s: %d steps take as long as %d of its rival", job.variant, steps, rival["steps"])
    loop = dataclasses.replace(config.loop, steps=steps)
    run(dataclasses.replace(config, loop=loop), job, _learning_rate(job, rival))


def _learning_rate(job: Job, rival: dict[str, Any]) -> tuple[float, bool | None]:
    """The learning rate, and whether it is the smallest or largest of its sweep."""
    if "tune" not in job.inputs:
        return float(rival["learning_rate"]), rival["learning_rate_at_edge"]
    chosen = read_json(job.upstream("tune") / "metrics.json")
    return float(chosen["learning_rate"]), bool(chosen["at_edge"])

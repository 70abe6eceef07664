"""Verb `priors.pace`: how many steps of one prior take as long as one step of another.

Seconds of two runs are not comparable where other processes share the machine: caches, memory and cores are theirs too,
and CPU time moves with them. Here both priors step in turn in one process, so whatever slows one slows the other as
well, and only their ratio is used. Source of the question: Esser et al. 2021, Table 1, "P-SNAIL time".
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from twostage.config.schema import PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.priors.model import build, num_parameters
from twostage.priors.task import PriorTask, new_task
from twostage.priors.train import how_timed
from twostage.runtime import training
from twostage.runtime.artifacts import write_csv, write_json
from twostage.runtime.job import Job

log = logging.getLogger(__name__)

# One round: each prior's steps have the same mean position, so a machine that slows down steadily moves no ratio.
ROUND = ("own", "rival", "rival", "own")
# The first steps fill allocators, caches and the optimizer's state.
WARM_UP_ROUNDS = 2
# With fewer, no two of the measured ratios enclose the median with 95 %.
FEWEST_ROUNDS = 6


@dataclass
class PaceConfig:
    """The prior that is matched in time, the one whose time it gets, and how long they are measured."""

    own: PriorConfig
    rival: PriorConfig
    min_rounds: int  # of two steps each
    max_rounds: int
    spread: float  # of the ratio: half its interval over its median; once it is this small, no more rounds are needed


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of the rival's seconds over our own, with its distribution-free 95 % interval."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half of the interval, as a share of the median."""
        return (self.high - self.low) / (2 * self.median)

    @classmethod
    def of(cls, rounds: list[dict[str, float]]) -> "Ratio":
        """Of seconds `own` and `rival` a round. Raises TwostageError for too few rounds to have an interval."""
        if len(rounds) < FEWEST_ROUNDS:
            raise TwostageError(f"a pace needs at least {FEWEST_ROUNDS} rounds, got {len(rounds)}; set pace.min_rounds")
        ratios = np.sort([one["rival"] / one["own"] for one in rounds])
        # The order statistics that enclose the median, from the binomial distribution of how many lie below it.
        rank = int(stats.binom.ppf(0.025, len(ratios), 0.5))
        return cls(float(np.median(ratios)), float(ratios[rank - 1]), float(ratios[-rank]))


def pace(config: PaceConfig, job: Job) -> None:
    """Writes metrics.json, the ratio and what a step of each costs, and rounds.csv, the seconds of every round.

    `seconds_per_step` of `rival` is measured; that of `own` is the same divided by the ratio, so that both are on one
    clock. Nothing is learned: the learning rate is 0, which costs what any other does.
    """
    tasks = {name: _task(config, job, name) for name in ("own", "rival")}
    flops = {name: flops_per_step(task) for name, task in tasks.items()}
    steps = {name: task.step for name, task in tasks.items()}
    rounds = alternate(steps, config.min_rounds, config.max_rounds, config.spread)
    ratio = Ratio.of(rounds)
    rival_seconds = float(np.median([one["rival"] for one in rounds])) / ROUND.count("rival")
    metrics = {
        "seconds_ratio": ratio.median,
        "seconds_ratio_ci95_low": ratio.low,
        "seconds_ratio_ci95_high": ratio.high,
        "num_rounds": len(rounds),
        "seconds_per_step": {"own": rival_seconds / ratio.median, "rival": rival_seconds},
        "gflops_per_step": {name: count / 1e9 for name, count in flops.items()},
        "num_parameters": {name: num_parameters(task.model) for name, task in tasks.items()},
        "architecture": {name: task.config.architecture for name, task in tasks.items()},
        **how_timed(),
    }
    write_csv(job.folder / "rounds.csv", [{"round": at, **one} for at, one in enumerate(rounds)])
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %.4g [%.4g, %.4g] in %d rounds", job.variant, *dataclasses.astuple(ratio), len(rounds))


def _task(config: PaceConfig, job: Job, name: str) -> PriorTask:
    """The task that a run of this prior trains, on its own latents."""
    prior = getattr(config, name)
    training.seed_everything(prior.loop.seed)
    condition = job.upstream(f"{name}.condition") if f"{name}.condition" in job.inputs else None
    latents = open_latents(job.upstream(f"{name}.latents"), condition)
    model = build(prior, latents.tokens)
    return new_task(model, prior, 0.0, latents.split("train"), latents.split("validation"))


def alternate(
    step: Mapping[str, Callable[[int], Any]], min_rounds: int, max_rounds: int, spread: float
) -> list[dict[str, float]]:
    """Seconds that the steps of `own` and `rival` took in each round, by `training_clock`.

    Ends once the ratio's spread is small enough, so that a machine that others use is measured for longer, or after
    `max_rounds`. Rounds that warm up are not returned.
    """
    count = dict.fromkeys(step, 0)

    def one_round() -> dict[str, float]:
        took = dict.fromkeys(step, 0.0)
        for name in ROUND:
            start = training.training_clock()
            step[name](count[name])
            took[name] += training.training_clock() - start
            count[name] += 1
        return took

    for _ in range(WARM_UP_ROUNDS):
        one_round()
    rounds = [one_round() for _ in range(min_rounds)]
    while len(rounds) < max_rounds and Ratio.of(rounds).spread > spread:
        rounds.append(one_round())
    return rounds


def flops_per_step(task: PriorTask) -> int:
    """Floating-point operations of one training step's matrix products and convolutions, forward and backward.

    A multiplication with its addition counts as two. Every product of attention is counted whole, masked or not.
    """
    # torch counts nothing of the fused attention of CPUs; written out it is matrix products, which it does count.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.step(0)
    return int(counter.get_total_flops())

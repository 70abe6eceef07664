"""Verb `priors.pace`: measures how many steps of one prior take as long as one step of another.

Times of two separate runs are not comparable if other processes share the machine with its caches, memory and cores.
Here both priors step in turn in one process, so that anything that slows one also slows the other, and only the ratio
is used. It is needed for "P-SNAIL time" in Table 1 of Esser et al. 2021.
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

# One round. The steps of both priors have the same mean position, so a steady slowdown does not change the ratio.
ROUND = ("own", "rival", "rival", "own")
# The first steps fill allocators, caches and the state of the optimizer.
WARM_UP_ROUNDS = 2
# With fewer rounds, no two of the measured ratios enclose the median with 95 %.
FEWEST_ROUNDS = 6


@dataclass
class PaceConfig:
    """The prior that is matched in time, its rival, and how long to measure."""

    own: PriorConfig
    rival: PriorConfig
    min_rounds: int  # of two steps each
    max_rounds: int
    spread: float  # stop when half the interval of the ratio, divided by its median, is at most this


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of the rival's seconds divided by our own, with its distribution-free 95 % interval."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half of the interval, divided by the median."""
        return (self.high - self.low) / (2 * self.median)

    @classmethod
    def of(cls, rounds: list[dict[str, float]]) -> "Ratio":
        """The pace from the seconds `own` and `rival` of each round. Raises TwostageError for too few rounds."""
        if len(rounds) < FEWEST_ROUNDS:
            raise TwostageError(f"a pace needs at least {FEWEST_ROUNDS} rounds, got {len(rounds)}; set pace.min_rounds")
        ratios = np.sort([one["rival"] / one["own"] for one in rounds])
        # The order statistics that enclose the median; the number of values below it has a binomial distribution.
        rank = int(stats.binom.ppf(0.025, len(ratios), 0.5))
        return cls(float(np.median(ratios)), float(ratios[rank - 1]), float(ratios[-rank]))


def pace(config: PaceConfig, job: Job) -> None:
    """Writes metrics.json (the ratio and the cost of a step of each) and rounds.csv (the seconds of each round).

    `seconds_per_step` of `rival` is measured. That of `own` is the same divided by the ratio, so that both refer to the
    same clock. The learning rate is 0, so nothing is learned; a step costs the same with any rate.
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
    """The training task of this prior, on its own latents."""
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

    Ends when the spread of the ratio is small enough, which takes longer on a shared machine, or after `max_rounds`.
    Warm-up rounds are not returned.
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

    A multiplication with its addition counts as two. Products of attention count fully, masked or not.
    """
    # torch does not count fused attention on CPUs. Without fusion it is matrix products, which torch counts.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.step(0)
    return int(counter.get_total_flops())

"""What a job asks a scheduler for: memory of its machine and minutes, by the plan of cost where that has the job."""

import csv
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twostage.planning.made import job_id
from twostage.planning.verbs import VERBS, Verb
from twostage.planning.whole import Planned
from twostage.runtime.job import Job

# Written by `twostage plan scale=paper --estimate --csv results/plan.csv`.
ESTIMATES = Path("results/plan.csv")
# The slowest card of the estimates, and twice their hours: the share of its peak that they assume was never measured.
HOURS, MARGIN = "A100_hours", 2.0
# To load data, evaluate and write what was made.
MORE_MINUTES = 60


class Requests:
    """The requests of a plan's jobs. `gpus`: of a job that runs on some; without, a step's memory is the machine's."""

    def __init__(self, plan: Planned, gpus: int) -> None:
        self.plan, self.gpus = plan, gpus

    def memory_mb(self, verb: str, num_processes: int = 1) -> Callable[[Any], int]:
        """A rule's function of its wildcards: MB of the machine's memory, for all processes of the job."""
        return lambda wildcards: num_processes * self._memory_mb(VERBS[verb], self._job(verb, wildcards.variant))

    def minutes(self, verb: str) -> Callable[[Any], int]:
        """A rule's function of its wildcards: minutes at most."""
        return lambda wildcards: self._minutes(VERBS[verb], self._job(verb, wildcards.variant))

    def _job(self, verb: str, variant: str) -> Job | None:
        return self.plan.jobs.get(f"artifacts/{self.plan.scale}/{verb.split('.')[0]}/{variant}")

    def _memory_mb(self, verb: Verb, job: Job | None) -> int:
        if (estimate := self._estimate(job)) is None:
            return verb.memory_mb
        # Weights and optimizer, and the checkpoint that is written of them.
        gigabytes = 2 * float(estimate["optimizer_gb"])
        if self.gpus == 0:
            gigabytes += float(estimate["activations_gb"])
        return verb.memory_mb + math.ceil(1000 * gigabytes)

    def _minutes(self, verb: Verb, job: Job | None) -> int:
        if self.gpus == 0 or (estimate := self._estimate(job)) is None:
            return verb.minutes
        return MORE_MINUTES + math.ceil(60 * MARGIN * float(estimate[HOURS]))

    def _estimate(self, job: Job | None) -> dict[str, str] | None:
        return _estimates(self.plan.scale).get(job_id(job)) if job else None


@functools.cache
def _estimates(scale: str) -> dict[str, dict[str, str]]:
    """The rows of one scale, by their jobs."""
    if not ESTIMATES.is_file():
        return {}
    with open(ESTIMATES, newline="", encoding="utf-8") as file:
        return {row["job"]: row for row in csv.DictReader(file) if row["scale"] == scale}

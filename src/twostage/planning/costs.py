"""What jobs cost: CPU seconds, out of the records of earlier runs in artifacts/ and results/."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from twostage.errors import TwostageError
from twostage.planning.made import job_id
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import PROVENANCE, Job


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the jobs of one scale, by their ids ("priors.train cifar10.vqgan_f4.gpt.seed0")."""

    of_jobs: dict[str, float]

    @classmethod
    def known(cls, scale: str) -> "Costs":
        """Whatever a record says of a job at the scale; the latest record of a job counts."""
        found: dict[str, tuple[str, float]] = {}
        for record in _records(scale):
            job, finished, seconds = (record.get(key) for key in ("job", "finished", "cpu_seconds"))
            if record.get("scale") == scale and isinstance(job, str) and isinstance(seconds, int | float):
                found[job] = max(found.get(job, ("", 0.0)), (str(finished), float(seconds)))
        return cls({job: seconds for job, (_, seconds) in found.items()})

    def seconds(self, job: Job) -> float | None:
        """Of an earlier run of the job, or the median of its verb; None if nothing is known."""
        own = self.of_jobs.get(job_id(job))
        return self._of_verb(job) if own is None else own

    def of(self, job: Job) -> str:
        """The same in words: `~` before a median, `?` for what is not known."""
        seconds = self.seconds(job)
        if seconds is None:
            return "?"
        return spelled(seconds) if job_id(job) in self.of_jobs else f"~{spelled(seconds)}"

    def _of_verb(self, job: Job) -> float | None:
        verb = f"{job.name} "
        alike = [seconds for other, seconds in self.of_jobs.items() if other.startswith(verb)]
        return median(alike) if alike else None


def spelled(seconds: float) -> str:
    """Seconds in the unit that a person reads: 12 s, 3.4 min, 2.1 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _records(scale: str) -> Iterator[dict[str, Any]]:
    """Every record of a job that lies here, and those that it holds of the jobs before it."""
    paths = [*Path("results").rglob(f"*{PROVENANCE}"), *Path("artifacts", scale).glob(f"*/*/{PROVENANCE}")]
    for path in sorted(paths):
        try:
            record = read_json(path)
        except TwostageError:
            # A damaged record is none; to run the job says so.
            continue
        if isinstance(record, dict):
            yield record
            yield from (each for each in record.get("rests_on", {}).values() if isinstance(each, dict))
